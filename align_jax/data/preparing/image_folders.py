"""Lists the images in `ROOT/DOMAIN/CLASS/`, to any depth, and says what is missing."""

import collections
import itertools
import os
import unicodedata
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from align_jax.data.image_files import (
    Others,
    entries,
    images_below,
    is_folder,
    is_image,
    kind,
    listing,
    stands_for_something,
)
from align_jax.data.preparing.sources import Place, candidates
from align_jax.data.preparing.what_is_there import counted, names_in
from align_jax.errors import UserError, one_line

# A folder beside the domains, in which DOMAIN/CLASS/IMAGE is a mask: white on the object, black elsewhere.
MASKS = "masks"
# A folder of this name names no class; it holds a class's images, or those that have no class.
IMAGES = "images"
OUTSIDE = "images outside of DOMAIN/CLASS/"

Counts = dict[str, dict[str, int]]


class LabelledImage(NamedTuple):
    """One image file. Paths are strings, as a data set may have a million of them."""

    domain: str
    class_name: str
    file_name: str  # its path in the class's folder
    path: str
    mask: str | None  # the path of its mask, if it has one
    size: int  # in bytes; 0 where the file is missing

    @property
    def id(self) -> str:
        """DOMAIN/CLASS/FILE, which is unique."""
        # Text in records is UTF-8; other letters of a file name are written as escapes.
        name = f"{self.domain}/{self.class_name}/{self.file_name}"
        return os.fsencode(name).decode("utf-8", "backslashreplace")


class DomainImages(NamedTuple):
    """All images of a data set, ordered by domain, class and file name."""

    source: Path  # the user's folder or archive
    domains: tuple[str, ...]
    classes: tuple[str, ...]
    images: tuple[LabelledImage, ...]
    others: Others  # what is neither an image nor hidden: how many files and folders of each kind
    without_images: tuple[str, ...]  # folders of a domain or a class from which nothing is taken, and why
    lost: int = 0  # how many images are in those folders

    @property
    def has_masks(self) -> bool:
        """Whether images have masks. `scan` makes sure that all have one, or none."""
        return bool(self.images) and self.images[0].mask is not None

    def counts(self) -> Counts:
        """How many images each domain and class has: `counts()[domain][class_name]`."""
        found = collections.Counter((image.domain, image.class_name) for image in self.images)
        return {domain: {name: found[domain, name] for name in self.classes} for domain in self.domains}


def scan(place: Place, domains: Sequence[str] | None = None, classes: Sequence[str] | None = None) -> DomainImages:
    """Lists the images below `DOMAIN/CLASS/`, with their masks below `masks/DOMAIN/CLASS/`.

    Domains and classes are all folders with images, sorted, unless they are given. What systems leave in folders is
    skipped; everything else that is no image of a class is counted, or named in `without_images`.
    """
    others: Others = collections.Counter()
    found: list[LabelledImage] = []
    without: dict[str, str] = {}  # what is in folders instead of images
    lost = 0
    for domain in _folders(place, (), domains, others, without):
        inside: Others = collections.Counter()
        taken, named = len(found), len(without)
        for class_folder in _folders(place, (domain.name,), classes, inside, without):
            below: Others = collections.Counter()
            images = _images_of(place, domain.name, class_folder, below)
            inside += below
            if images and classes is None and class_folder.name.lower() == IMAGES:
                without[f"{domain.name}/{class_folder.name}"] = f"{counted(len(images), 'image')} of no class"
                lost += len(images)
            elif not images:
                without[f"{domain.name}/{class_folder.name}"] = listing(below) or "empty"
            else:
                found += images
        if len(found) == taken:
            lost += inside[OUTSIDE]
            if len(without) == named:
                without[domain.name] = listing(inside) or "empty"
        others += inside
    domains = domains if domains is not None else sorted({image.domain for image in found})
    classes = classes if classes is not None else sorted({image.class_name for image in found})
    _check_names(place.source, (*domains, *classes))
    _check_spelling(place.source, found)
    others["masks of no image"] += _unused_masks(place, found)
    domain_order, class_order = ({name: place for place, name in enumerate(names)} for names in (domains, classes))
    found.sort(key=lambda image: (domain_order[image.domain], class_order[image.class_name], image.file_name))
    shown = tuple(f"{one_line(name)} ({why})" for name, why in without.items())
    return DomainImages(place.source, tuple(domains), tuple(classes), tuple(found), +others, shown, lost)


def find_domains(
    root: Path,
    workspace: Path,
    domains: Sequence[str],
    classes: Sequence[str],
    *,
    title: str,
    folder: str,
    how_to_get_it: str,
    otherwise: Callable[[Place, Path], DomainImages | None],
    or_else: str = "",
) -> DomainImages:
    """Lists the images of a data set with known domains, in the first place that has a folder for each of them.

    A place without all of the domains is given to `otherwise`, which may find images there in another layout; for
    messages, `or_else` says what it searches for.
    """
    partial = ""
    seen: dict[Path, str] = {}
    for place in itertools.chain.from_iterable(candidates(root, folder, workspace)):
        present = {_same(entry.name): entry.name for entry in entries(place.folder) if is_folder(entry)}
        absent = [domain for domain in domains if _same(domain) not in present]
        if not absent:
            return scan(place, domains, classes)
        if len(absent) < len(domains):
            links = {name for name in absent if (place.folder / name).is_symlink()}
            named = ", ".join(f"{name} (but a link to nothing)" if name in links else name for name in absent)
            partial = partial or f"{place.source} has no folder {named}; {how_to_get_it}."
        seen.setdefault(place.source, names_in(place.folder, place.source))
        if (images := otherwise(place, workspace)) is not None:
            return images
    raise UserError(
        partial
        or f"{title} was not found at {root}: {'; '.join(seen.values()) or names_in(root, root)}; needed are the "
        f"folders {', '.join(domains)}{or_else}; {how_to_get_it}; put it at {root / folder}, or give its place as root."
    )


def check_nothing_absent(data: DomainImages, dropped: Sequence[LabelledImage] = ()) -> None:
    """Raises a UserError if a domain or a class has no image at all, or none that is not dropped."""
    for word, names in (("domain", data.domains), ("class", data.classes)):
        present = {image.domain if word == "domain" else image.class_name for image in data.images}
        for name in names:
            if name in present:
                continue
            if any(name == (image.domain if word == "domain" else image.class_name) for image in dropped):
                raise UserError(
                    f"All images of the {word} {name} that can be read are in earlier domains too, and "
                    f"on_duplicate=drop leaves them out; set on_duplicate=keep, or remove the folder {name}."
                )
            instead = f" (not taken: {listing(data.others)})" if +data.others else ""
            raise UserError(
                f"{data.source} has no image of the {word} {name} that could be used{instead}; complete the copy."
            )


def _folders(
    place: Place,
    above: tuple[str, ...],
    names: Sequence[str] | None,
    others: Others,
    without: dict[str, str],
) -> Iterator[os.DirEntry[str]]:
    """The folders of domains, or of a domain's classes if `above` is the domain; what else is there is counted.

    Raises:
      UserError: a name differs from one of `names`, or from `MASKS`, in spelling alone.
    """
    known = {_same(name): name for name in (names or ())} | ({} if above else {_same(MASKS): MASKS})
    for entry in entries(place.folder.joinpath(*above), others):
        is_known = names is None or entry.name in names
        if is_folder(entry):
            if (name := known.get(_same(entry.name), entry.name)) != entry.name:
                raise UserError(f"{place.source.joinpath(*above, entry.name)} must be called {name}; rename it.")
            if name == MASKS and not above:
                continue
            if is_known:
                yield entry
            else:
                others[f"{one_line(name)}/"] += 1
        elif is_image(entry):
            others[OUTSIDE] += 1
        elif is_known and stands_for_something(entry):
            without["/".join([*above, entry.name])] = "a link to nothing"
        else:
            others[kind(entry)] += 1


def _images_of(place: Place, domain: str, class_folder: os.DirEntry[str], others: Others) -> list[LabelledImage]:
    """The images below a class's folder, with their masks."""
    masks = masks_by_stem(place.folder / MASKS / domain / class_folder.name)
    found = []
    for name, entry in images_below(class_folder.path, others, with_lost=True):
        if MASKS in name.lower().split("/")[:-1]:
            raise UserError(
                f"{place.source / domain / class_folder.name} has a folder {MASKS} with {name}, which would be taken "
                f"for an image of the class; put masks below {place.source / MASKS}, or rename the folder if they are "
                "images."
            )
        try:
            size = entry.stat().st_size
        except OSError:  # a link to nothing, which the builder refuses
            size = 0
        found.append(
            LabelledImage(domain, class_folder.name, name, entry.path, masks.get(os.path.splitext(name)[0]), size)
        )
    return found


def _same(name: str) -> str:
    """The same text for names that differ only in upper and lower case or in how accents are encoded."""
    return unicodedata.normalize("NFC", unicodedata.normalize("NFC", name).casefold())


def _check_names(source: Path, names: Sequence[str]) -> None:
    # TFDS stores one name on each line, and strips it.
    for name in names:
        if name != name.strip() or not name.isprintable():
            raise UserError(
                f"{source} has a folder named {name!r}; rename it: no blanks at its ends, and printable letters only."
            )


def _check_spelling(source: Path, images: Sequence[LabelledImage]) -> None:
    """Refuses domains, or classes, whose names differ in spelling alone."""
    folders = dict.fromkeys((image.domain, image.class_name) for image in images)
    for level, word in enumerate(("domains", "classes")):
        spelled: dict[str, tuple[str, ...]] = {}
        for names in folders:
            other = spelled.setdefault(_same(names[level]), names)
            if other[level] != names[level]:
                one, two = ("/".join(each[: level + 1]) for each in (other, names))
                encoded = f" (as Unicode {one!a} and {two!a})" if not (one + two).isascii() else ""
                raise UserError(
                    f"{source} has {one} and {two}{encoded}, which would be two {word}: the names differ only in upper "
                    "and lower case or in how accents are encoded; rename one of the folders, or put both into one."
                )


def masks_by_stem(folder: Path) -> dict[str, str]:
    """The paths of the masks below a folder, by their path in it without suffix."""
    masks: dict[str, str] = {}
    for name, mask in images_below(folder, collections.Counter()):
        stem = os.path.splitext(name)[0]
        if stem in masks:
            raise UserError(f"{masks[stem]} and {mask.path} are masks of the same image; keep one.")
        masks[stem] = mask.path
    return masks


def _unused_masks(place: Place, images: Sequence[LabelledImage]) -> int:
    """How many masks are of no image; a UserError where only some images have one."""
    masks = sum(image.mask is not None for image in images)
    there = [name for name, _ in images_below(place.folder / MASKS, collections.Counter())]
    if there and not masks:
        raise UserError(
            f"{place.source / MASKS} has a mask {there[0]}, but none of an image; call masks as the images are, "
            f"{MASKS}/DOMAIN/CLASS/IMAGE, or rename the folder to use no masks."
        )
    if 0 < masks < len(images):
        without = next(image.id for image in images if image.mask is None)
        raise UserError(
            f"{place.source / MASKS} has masks for {masks} of {len(images)} images, and none for {without}; "
            "add the others, or rename the folder to use no masks."
        )
    return len(there) - len({image.mask for image in images} - {None})
