"""Image files in folders that are not trusted: which files are images, and how their bytes are read."""

import collections
import os
import stat
from collections.abc import Iterator
from pathlib import Path

from align_jax.data.images import SUFFIXES, BadImage
from align_jax.errors import UserError, one_line

# What systems leave in folders, in lower case: no one's domain, class or image. Hidden names need not be here.
LEFT_BY_SYSTEMS = frozenset({
    "@eadir", "@recycle", "@tmp", "#recycle", "#snapshot", "$recycle.bin", "__macosx", "__pycache__", "desktop.ini",
    "ehthumbs.db", "lost+found", "system volume information", "thumbs.db",
})  # fmt: skip
# No photograph is larger, and some files have no end.
MOST_BYTES = 256 * 2**20
# How the small files begin that stand for images which were not fetched.
POINTERS = {
    b"version https://git-lfs.github.com/spec/": "a Git LFS pointer without its image: run git lfs pull",
    b"/annex/objects/": "a git-annex pointer without its image: run git annex get",
}

# The suffixes of what is no image for sure: a link to nothing of another name may be to an image, or to a folder.
NOT_IMAGES = frozenset({
    ".bib", ".csv", ".gz", ".htm", ".html", ".ipynb", ".json", ".jsonl", ".log", ".mat", ".md", ".npy", ".npz", ".pdf",
    ".pkl", ".py", ".sh", ".tar", ".tfrecord", ".tgz", ".tsv", ".txt", ".xml", ".yaml", ".yml", ".zip",
})  # fmt: skip

LINKS_TO_NOTHING = "links to nothing"
READ_ALREADY = "links to folders that are read already"

# How many entries of each kind are no images, such as `{".txt": 3}`.
Others = collections.Counter[str]


def is_left_by_a_system(name: str) -> bool:
    """Whether a file or folder of this name is hidden, or one of `LEFT_BY_SYSTEMS`."""
    return name.startswith(".") or name.lower() in LEFT_BY_SYSTEMS


def entries(folder: str | Path, others: Others | None = None) -> list[os.DirEntry[str]]:
    """What is in a folder, by name, without what systems leave there; nothing where there is no such folder.

    Args:
      folder: its path.
      others: counts what systems left, except hidden files.

    Raises:
      UserError: the folder cannot be read.
    """
    try:
        with os.scandir(folder) as found:
            everything = sorted(found, key=lambda entry: entry.name)
    except (FileNotFoundError, NotADirectoryError):
        return []
    except OSError as error:
        raise unreadable(folder, error) from error
    if others is not None:
        others.update(entry.name for entry in everything if entry.name.lower() in LEFT_BY_SYSTEMS)
    return [entry for entry in everything if not is_left_by_a_system(entry.name)]


def unreadable(folder: str | Path, error: OSError) -> UserError:
    """What to raise where a folder cannot be read."""
    return UserError(
        f"The folder {folder} cannot be read ({error.strerror}); give yourself the right to read it, or move it "
        "elsewhere."
    )


def is_folder(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a folder, or a link to one that it does not lie in."""
    try:
        if not entry.is_dir() or not entry.is_symlink():
            return entry.is_dir()
    except OSError:  # a link to itself, or to where one may not look
        return False
    return not Path(os.path.realpath(os.path.dirname(entry.path))).is_relative_to(os.path.realpath(entry.path))


def is_image(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is called as an image and is a file, or a link to a file or to nothing: a bad image.

    A pipe or a device is no image.
    """
    if not entry.name.lower().endswith(SUFFIXES):
        return False
    try:
        return entry.is_file() or not os.path.exists(entry.path)
    except OSError:  # a link to itself, or to where one may not look
        return True


def stands_for_something(entry: os.DirEntry[str]) -> bool:
    """Whether an entry is a link to nothing that may be to an image, or to a folder of images."""
    return kind(entry) == LINKS_TO_NOTHING and os.path.splitext(entry.name)[1].lower() not in NOT_IMAGES


def kind(entry: os.DirEntry[str]) -> str:
    """What to count an entry as that is not taken for an image: by its suffix, if it is a file."""
    if os.path.isdir(entry.path):
        return "other folders" if is_folder(entry) else READ_ALREADY
    if not os.path.exists(entry.path):
        return LINKS_TO_NOTHING
    if not os.path.isfile(entry.path):
        return "pipes and devices"
    suffix = os.path.splitext(entry.name)[1].lower()
    return (suffix if suffix.isprintable() and len(suffix) <= 10 else "other files") if suffix else "without a suffix"


def images_below(folder: str | Path, others: Others, with_lost: bool = False) -> Iterator[tuple[str, os.DirEntry[str]]]:
    """The images in a folder and in all folders below it, each with its path in `folder`.

    A folder's own images come before those of its folders; both by name. Links to folders are followed, but to none
    that is read already, or that `folder` lies in: the walk has an end.

    Args:
      folder: where to begin.
      others: counts what is no image.
      with_lost: whether a link to nothing that may be to an image, or to a folder of images, counts as one.

    Raises:
      UserError: a folder cannot be read.
    """
    read: set[str] = set()
    waiting = [(str(folder), "")]
    while waiting:
        place, prefix = waiting.pop()
        real = os.path.realpath(place)
        if real in read:
            others[READ_ALREADY] += 1
            continue
        read.add(real)
        below = []
        for entry in entries(place, others):
            if is_folder(entry):
                below.append((entry.path, f"{prefix}{entry.name}/"))
            elif is_image(entry) or (with_lost and stands_for_something(entry)):
                yield f"{prefix}{entry.name}", entry
            else:
                others[kind(entry)] += 1
        waiting += reversed(below)


def listing(others: Others, most: int = 8) -> str:
    """The kinds and their numbers, the most frequent first: ".txt (3), thumbs.db (1)"."""
    ordered = sorted((+others).items(), key=lambda item: (-item[1], item[0]))
    rest = sum(number for _, number in ordered[most:])
    shown = ", ".join(f"{one_line(name)} ({number:,})" for name, number in ordered[:most])
    return f"{shown}, and others ({rest:,})" if rest else shown


def read_content(path: str | Path) -> bytes:
    """The bytes of a file, also through a link.

    Raises:
      BadImage: it is missing, too large, no regular file (a pipe blocks, a device has no end), or only stands for an
        image that was not fetched.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):
            raise BadImage("not a regular file")
        with open(path, "rb") as file:
            content = file.read(MOST_BYTES + 1)
    except OSError as error:
        if os.path.islink(path) and not os.path.exists(path):
            fetch = ": run git annex get" if "annex/objects/" in os.readlink(path) else ""
            raise BadImage(f"a link to nothing{fetch}") from error
        raise BadImage(error.strerror or "cannot be opened") from error
    if len(content) > MOST_BYTES:
        raise BadImage(f"larger than {MOST_BYTES // 2**20} MiB")
    for beginning, reason in POINTERS.items():
        if content.startswith(beginning):
            raise BadImage(reason)
    return content
