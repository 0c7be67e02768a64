"""Says what a folder holds, for the refusals of folders that hold no data set."""

import collections
import itertools
import os
from collections.abc import Iterable
from pathlib import Path

from align_jax.data.image_files import entries, images_below, is_folder, listing
from align_jax.errors import listed, one_line

# How many names a message shows, and how many images are looked at.
SHOWN = 4
MOST_IMAGES = 200_000


def counted(number: int, word: str, several: str | None = None) -> str:
    """The number with its word: "1 folder", "2 folders"."""
    return f"{number:,} {word if number == 1 else several or word + 's'}"


def names_in(folder: Path, source: Path) -> str:
    """Which folders a folder has, by name, and how many files are beside them; messages call it `source`."""
    if not folder.is_dir():
        if not os.path.exists(folder):
            return f"{source} {'is a link to nothing' if os.path.lexists(folder) else 'does not exist'}"
        return f"{source} is {'a file, and no archive' if folder.is_file() else 'a pipe or a device'}"
    found = entries(folder)
    folders = [entry.name for entry in found if is_folder(entry)]
    files = len(found) - len(folders)
    text = [f"{counted(len(folders), 'folder')} ({_shown(folders)})"] if folders else []
    return f"{source} has {' and '.join([*text, counted(files, 'file')] if files or not text else text)}"


def images_in(folder: Path, source: Path) -> str:
    """Where the images below a folder are, by the number of folders between; or which files there are instead.

    Messages call the folder `source`.
    """
    others: collections.Counter[str] = collections.Counter()
    # For each depth: the number of images, the folders in `folder`, and the last folders above the images.
    depths: dict[int, tuple[list[str], list[str]]] = {}
    for name, _ in itertools.islice(images_below(folder, others), MOST_IMAGES):
        *above, _ = name.split("/")
        first, last = depths.setdefault(len(above), ([], []))
        first.append(above[0] if above else "")
        last.append(above[-1] if above else "")
    if not depths:
        return f"{source} has no image, but {listing(others)}" if others else f"{source} is empty"
    texts = []
    for depth, (first, last) in sorted(depths.items()):
        folders = counted(len(set(first)), "folder")
        inside = {0: "directly in it", 1: f"in {folders} ({_shown(first)})"}.get(depth)
        if inside is None and len(set(last)) == 1:
            inside = f"in {folders} ({_shown(first)}), each with a folder {one_line(last[0])}/"
        texts.append(f"{counted(len(first), 'image')} {inside or f'in folders of {folders} ({_shown(first)})'}")
    return f"{source} has {'; '.join(texts)}"


def _shown(names: Iterable[str]) -> str:
    return listed([one_line(name) for name in sorted(set(names))], SHOWN)
