"""Finds DOMAIN/CLASS/ among the folders of a data set that may lie in outer folders, or be laid out otherwise."""

import collections
import itertools
from collections.abc import Iterable, Iterator, Mapping
from pathlib import Path
from typing import NamedTuple

from align_jax.data.image_files import entries, images_below, is_folder
from align_jax.data.preparing.image_folders import IMAGES, MASKS
from align_jax.data.preparing.sources import Place
from align_jax.data.preparing.what_is_there import images_in
from align_jax.errors import UserError, listed, one_line

# The most images, as a share of those that are taken, that a place may have outside of DOMAIN/CLASS/.
MOST_OUTSIDE = 0.25
# How many outer folders are looked into that have but one folder.
MOST_OUTER = 3
# A name that so many folders have alone in them, such as CLASS/images/, names no class.
MOSTLY = 0.75
SHOWN = 4


class Layout(NamedTuple):
    """What a place holds if its folders are domains, and those in them classes."""

    images: int  # below the classes' folders
    classes: int
    # The names of folders below a class's that come again and again, if most images of a domain are in such folders:
    # they may be the classes.
    repeated: tuple[str, ...]


def find_layout(outer: Place, name: str, grouped: bool = False) -> tuple[Place, int] | None:
    """The place with DOMAIN/CLASS/, and how many images are outside of it; None if there is none.

    It is the outermost in which it is clear what the classes are, first in folders of the data set's name. Inwards it
    goes only past folders that have but one folder. If the images are `grouped`, the folders right below the classes'
    are groups, whose names may come again and again.

    Raises:
      UserError: which folders are the classes is not clear; or many images are outside.
    """
    problem = None
    # How many images each folder has.
    folders = collections.Counter(
        path.rpartition("/")[0] for path, _ in images_below(outer.folder, collections.Counter())
    )
    for start in _starts(outer, name, folders):
        unclear = None
        for place in _inwards(start):
            inside = place.folder.relative_to(outer.folder).parts
            below = {path: n for path, n in folders.items() if path.split("/")[: len(inside)] == list(inside)}
            layout = layout_of({"/".join(path.split("/")[len(inside) :]): n for path, n in below.items()}, grouped)
            outside = folders.total() - sum(below.values())
            if layout.classes < 2:
                continue
            if outside > MOST_OUTSIDE * layout.images:
                problem = problem or _elsewhere(outer, "/".join(inside), layout, outside)
            elif layout.repeated:
                unclear = unclear or _unclear(place, layout)
            else:
                return place, outside
        if unclear is not None:
            raise problem or unclear
    if problem is not None:
        raise problem
    return None


def layout_of(folders: Mapping[str, int], grouped: bool = False) -> Layout:
    """The layout of a place, given how many images its folders have, by their paths in it."""
    parts = [(path.split("/"), n) for path, n in folders.items() if "/" in path and path.split("/")[0].lower() != MASKS]
    if grouped:
        parts = [([*names[:2], *names[3:]], n) for names, n in parts]
    # Below the classes' folders: which folders each has, how often each name comes at a level, and how often alone.
    children: dict[tuple[str, ...], set[str]] = collections.defaultdict(set)
    for (_, *names), _ in parts:
        for level in range(1, len(names)):
            children[tuple(names[:level])].add(names[level])
    comes = collections.Counter((len(parent), name) for parent, names in children.items() for name in names)
    alone = collections.Counter((len(parent), *names) for parent, names in children.items() if len(names) == 1)
    parents = collections.Counter(map(len, children))
    repeated = set()
    # For each domain: the images in folders of names that repeat, less those that are surely of their class.
    balance: collections.Counter[str] = collections.Counter()
    for (domain, _, *below), n in parts:
        named = [key for key in enumerate(below, 1) if alone[key] < MOSTLY * parents[key[0]]]
        again = {key[1] for key in named if comes[key] > 1}
        repeated |= again
        balance[domain] += n if again else 0 if named else -n
    classes = {of_class for (_, of_class, *_), _ in parts if of_class.lower() != IMAGES}
    unclear = any(more > 0 for more in balance.values())
    return Layout(sum(n for _, n in parts), len(classes), tuple(sorted(repeated)) if unclear else ())


def _starts(outer: Place, name: str, folders: Iterable[str]) -> list[Place]:
    """The folders of the data set's name, the innermost first, and then `outer`."""
    paths = {path for folder in folders for path in itertools.accumulate(folder.split("/"), "{}/{}".format)}
    called_so = [
        path for path in paths if path.rpartition("/")[2].lower() == name.lower() and MASKS not in path.split("/")
    ]
    called_so = sorted(called_so, key=lambda path: (-path.count("/"), path))
    return [*(_at(outer, outer.folder / path) for path in called_so if path.count("/") < MOST_OUTER), outer]


def _at(outer: Place, folder: Path) -> Place:
    return outer._replace(folder=folder, source=folder if outer.source == outer.folder else outer.source)


def _inwards(place: Place) -> Iterator[Place]:
    """A place, and the folder in it if there is but one, and so on."""
    for _ in range(MOST_OUTER + 1):
        yield place
        folders = [Path(entry.path) for entry in entries(place.folder) if is_folder(entry)]
        if len(folders) != 1 or folders[0].name.lower() == MASKS:
            return
        place = _at(place, folders[0])


def _elsewhere(outer: Place, inside: str, layout: Layout, outside: int) -> UserError:
    return UserError(
        f"{outer.source} has {layout.images:,} images in {one_line(inside)}/DOMAIN/CLASS/ and {outside:,} elsewhere, "
        "which would be lost; give as root a folder of that name with DOMAIN/CLASS/ in it (extract an archive first)."
    )


def _unclear(place: Place, layout: Layout) -> UserError:
    return UserError(
        f"It is not clear which folders of {place.source} are the classes: below DOMAIN/CLASS/, names of folders come "
        f"again and again ({listed([one_line(name) for name in layout.repeated], SHOWN)}); "
        f"{images_in(place.folder, place.source)}; give the folder right above the domains as folder and the one above "
        "that as root (extract an archive for this), move the images up into DOMAIN/CLASS/, or set "
        "config.data.group=folder (launch/prepare.py: --group=folder) if those names are groups."
    )
