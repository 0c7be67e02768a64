"""Where the user's copy of a data set lies: a folder, a folder below it, or an archive."""

import os
from collections.abc import Iterator, Sequence
from pathlib import Path

from align_jax.data.archives import SUFFIXES, extract, is_archive
from align_jax.data.datasets.domain_images import DomainImages


def candidates(root: Path, names: Sequence[str], workspace: Path) -> Iterator[Path]:
    """Folders in which the data set may lie, the likeliest first; archives are extracted when their turn comes.

    Args:
        root: a folder or an archive.
        names: what the data set's folder or archive below `root` may be called, in any case of letters.
        workspace: an empty folder to extract to.
    """
    if is_archive(root) and root.is_file():
        yield from folders_below(extract(root, workspace / "root"))
        return
    if not root.is_dir():
        return
    yield root
    wanted = {name.lower() for name in names}
    below = sorted(root.iterdir())
    yield from (path for path in below if path.name.lower() in wanted and path.is_dir())
    for path in below:
        if path.is_file() and any(path.name.lower() == name + suffix for name in wanted for suffix in SUFFIXES):
            yield from folders_below(extract(path, workspace / path.name))


def folders_below(folder: Path, depth: int = 3) -> Iterator[Path]:
    """`folder` and those in it, level by level, hidden ones left out: archives wrap their content in folders."""
    level = [folder]
    for _ in range(depth + 1):
        yield from level
        level = [
            Path(entry.path)
            for parent in level
            for entry in sorted(os.scandir(parent), key=lambda entry: entry.name)
            if entry.is_dir() and not entry.name.startswith((".", "__MACOSX"))
        ]


def found(name: str, images: DomainImages) -> str:
    """What was found and where, in a sentence."""
    text = (
        f"{name}: {len(images.images):,} images of {len(images.domains)} domains and {len(images.classes)} classes in "
        f"{images.folder}"
    )
    text += ", with masks" if images.has_masks else ""
    return text + (f"; other files and folders, ignored: {images.ignored:,}." if images.ignored else ".")
