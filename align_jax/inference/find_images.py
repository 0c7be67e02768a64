"""Finds a user's images, gives each a name for the output, and reads their bytes."""

import dataclasses
import os
import stat
from collections.abc import Iterator, Sequence
from pathlib import Path, PurePosixPath

from align_jax.data.images import SUFFIXES, BadImage
from align_jax.errors import UserError

# In bytes; file systems allow 255, and the names of the written files are longer than the image's.
LONGEST_NAME = 200
# No photograph is larger, and some files, such as devices, have no end.
MOST_BYTES = 256 * 2**20
# The folder of the overlays, below the output folder.
DRAWN = "overlays"


@dataclasses.dataclass(frozen=True)
class Found:
    """An image file, and its name on the page and below `overlays/`, which is unique and relative."""

    path: Path
    name: PurePosixPath


def find_images(paths: Sequence[Path], out: Path) -> list[Found]:
    """All images that the paths name or hold, each once, in the order of the paths and then of their names.

    In folders, files that end in one of SUFFIXES are images; a file that the user names can have any suffix.
    Hidden files and files in OUT/overlays are left out: a second call must not explain the pictures of the first.

    Raises:
      UserError: a path that does not exist, or no image at all.
    """
    drawn = (out / DRAWN).resolve()
    found: dict[Path, Found] = {}
    taken: set[str] = set()

    def add(path: Path, name: PurePosixPath) -> None:
        real = path.resolve()
        if real not in found and not real.is_relative_to(drawn):
            found[real] = Found(path, _unique(_shortened(name), taken))

    for path in paths:
        if path.is_dir():
            for image in _images_in(path):
                add(image, PurePosixPath(path.resolve().name, image.relative_to(path).as_posix()))
        elif path.exists():
            add(path, PurePosixPath(path.name))
        else:
            raise UserError(f"{path} does not exist; give images, or folders with images.")
    if not found:
        where = ", ".join(map(str, paths))
        raise UserError(
            f"There is no image in {where}; give images, or folders with files that end in {', '.join(SUFFIXES)} "
            f"(files in {out / DRAWN} are left out)."
        )
    return list(found.values())


def _images_in(folder: Path) -> Iterator[Path]:
    for parent, folders, files in os.walk(folder):
        folders[:] = sorted(f for f in folders if not f.startswith("."))
        for file in sorted(files):
            if file.lower().endswith(SUFFIXES) and not file.startswith("."):
                yield Path(parent) / file


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


def read_content(path: Path) -> bytes:
    """The bytes of a regular file, also through a link. Others are refused: a pipe blocks, a device has no end."""
    if not stat.S_ISREG(path.stat().st_mode):
        raise BadImage("not a regular file")
    with path.open("rb") as file:
        content = file.read(MOST_BYTES + 1)
    if len(content) > MOST_BYTES:
        raise BadImage(f"larger than {MOST_BYTES // 2**20} MiB")
    return content
