"""Finds the user's copy of a data set: a folder, a folder below it, or an archive."""

import tempfile
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from align_jax.data.image_files import entries, is_folder
from align_jax.data.preparing.archives import SUFFIXES, extract, is_archive


class Place(NamedTuple):
    """A folder in which a data set may be."""

    folder: Path  # temporary, where it was extracted from an archive
    source: Path  # the user's folder or archive
    # The source's name, without an archive's suffix, and those of the archive's folders down to `folder`; lower case.
    names: frozenset[str]


def candidates(root: Path, name: str, workspace: Path) -> Iterator[list[Place]]:
    """Where the data set may be: first the folders, then those of each archive, which is extracted when it is needed.

    The user's `root` is the data set's folder or archive, or has one called `name`, in upper or lower case.
    """
    if is_archive(root) and root.is_file():
        yield _places_in(root, workspace)
        return
    if not root.is_dir():
        return
    below = [Path(entry.path) for entry in entries(root)]
    folders = [root, *(path for path in below if path.name.lower() == name.lower() and path.is_dir())]
    yield [Place(folder, folder, frozenset({folder.absolute().name.lower()})) for folder in folders]
    for path in below:
        if is_archive(path) and path.is_file() and _stem(path) == name.lower():
            yield _places_in(path, workspace)


def extracted(archive: Path, workspace: Path) -> Path:
    """A new folder in `workspace` with what the archive holds; see `archives.extract` for what is refused."""
    return extract(archive, Path(tempfile.mkdtemp(dir=workspace)))


def folders_below(folder: Path, depth: int = 3) -> Iterator[Path]:
    """`folder` and the folders below it, level by level, without those of systems: archives often add outer folders."""
    level = [folder]
    for _ in range(depth + 1):
        yield from level
        level = [Path(entry.path) for parent in level for entry in entries(parent) if is_folder(entry)]


def _places_in(archive: Path, workspace: Path) -> list[Place]:
    top = extracted(archive, workspace)
    return [
        Place(folder, archive, frozenset({_stem(archive), *map(str.lower, folder.relative_to(top).parts)}))
        for folder in folders_below(top)
    ]


def _stem(archive: Path) -> str:
    name = archive.name.lower()
    return name.removesuffix(next(suffix for suffix in SUFFIXES if name.endswith(suffix)))
