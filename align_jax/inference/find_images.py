"""Finds a user's images, and gives each a name for the output."""

import collections
import dataclasses
import os
from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath

from align_jax.data.image_files import Others, images_below, listing
from align_jax.data.images import SUFFIXES
from align_jax.errors import UserError, one_line

# In bytes; file systems allow 255, and the names of the written files are longer than the image's.
LONGEST_NAME = 200
# The folder of the overlays, below the output folder.
DRAWN = "overlays"


@dataclasses.dataclass(frozen=True)
class Found:
    """An image file.

    Attributes:
      path: where it is.
      name: on the page and below `overlays/`; unique and relative.
      inside: where it is in the folder that the user named; the file's name, if the user named that.
    """

    path: Path
    name: PurePosixPath
    inside: PurePosixPath


def find_images(paths: Sequence[Path], out: Path, say: Callable[[str], None] = lambda text: None) -> list[Found]:
    """All images that the paths name or hold, each once, in the order of the paths and then of their names.

    In folders, files that end in one of SUFFIXES are images; a file that the user names can have any suffix.
    Hidden files and files in OUT/overlays are left out: a second call must not explain the pictures of the first.

    Args:
      paths: images, and folders, which are searched to any depth.
      out: the output folder.
      say: called with a line for a folder in which other files are, too.

    Raises:
      UserError: a path that does not exist, a folder that cannot be read, or no image at all.
    """
    drawn = Path(os.path.realpath(out / DRAWN))
    found: dict[Path, Found] = {}
    taken: set[str] = set()
    others: Others = collections.Counter()

    def add(path: Path, name: PurePosixPath, inside: PurePosixPath) -> None:
        real = Path(os.path.realpath(path))  # resolve() fails for a link to itself
        if real not in found and not real.is_relative_to(drawn):
            # What is written has names that can be printed and linked; the names of files can be any bytes.
            written = PurePosixPath(*map(one_line, name.parts))
            found[real] = Found(path, _unique(_shortened(written), taken), inside)

    for path in paths:
        if path.is_dir():
            inside: Others = collections.Counter()
            for name, image in images_below(path, inside):
                add(Path(image.path), PurePosixPath(path.resolve().name, name), PurePosixPath(name))
            if +inside:
                say(f"{path}: not taken: {listing(inside)}")
            others += inside
        elif os.path.lexists(path):
            add(path, PurePosixPath(path.name), PurePosixPath(path.name))
        else:
            raise UserError(f"{path} does not exist; give images, or folders with images.")
    if not found:
        where = ", ".join(map(str, paths)) + (f", but {listing(others)}" if others else "")
        raise UserError(
            f"There is no image in {where}; give images, or folders with files that end in {', '.join(SUFFIXES)} "
            f"(files in {out / DRAWN} are left out)."
        )
    return list(found.values())


def _shortened(name: PurePosixPath) -> PurePosixPath:
    """The name, its last part cut so that the names of the written files are not too long."""
    whole = os.fsencode(name.name)
    if len(whole) <= LONGEST_NAME:
        return name
    suffix = os.fsencode(name.suffix) if name.suffix.lower() in SUFFIXES else b""
    # Decoding drops half a character at the end.
    cut = whole[: LONGEST_NAME - len(suffix)].decode("utf-8", "ignore") or "image"
    return name.with_name(cut + os.fsdecode(suffix))


def _unique(name: PurePosixPath, taken: set[str]) -> PurePosixPath:
    """The name, with a number if it is taken, as when two folders have one name. Some file systems ignore case."""
    candidate, number = name, 1
    while str(candidate).casefold() in taken:
        number += 1
        candidate = name.with_name(f"{name.stem}-{number}{name.suffix}")
    taken.add(str(candidate).casefold())
    return candidate
