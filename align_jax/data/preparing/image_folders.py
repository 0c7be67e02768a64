"""Lists the images in `ROOT/DOMAIN/CLASS/IMAGE`, and says what is missing."""

import collections
import itertools
import os
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from align_jax.data.images import SUFFIXES
from align_jax.data.preparing.sources import Place, candidates
from align_jax.errors import UserError

# A folder beside the domains, in which DOMAIN/CLASS/IMAGE is a mask: white on the object, black elsewhere.
MASKS = "masks"

Counts = dict[str, dict[str, int]]


class LabelledImage(NamedTuple):
    """One image file. Paths are strings, as a data set may have a million of them."""

    domain: str
    class_name: str
    file_name: str
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
    ignored: int  # how many files and folders are neither hidden nor part of the layout

    @property
    def has_masks(self) -> bool:
        """Whether images have masks. `scan` makes sure that all have one, or none."""
        return bool(self.images) and self.images[0].mask is not None

    def counts(self) -> Counts:
        """How many images each domain and class has: `counts()[domain][class_name]`."""
        found = collections.Counter((image.domain, image.class_name) for image in self.images)
        return {domain: {name: found[domain, name] for name in self.classes} for domain in self.domains}


def scan(place: Place, domains: Sequence[str] | None = None, classes: Sequence[str] | None = None) -> DomainImages:
    """Lists the images in `DOMAIN/CLASS/`, with their masks in `masks/DOMAIN/CLASS/`.

    Domains and classes are all folders with images, sorted, unless they are given. Hidden files and folders are
    skipped; others that do not fit are counted.
    """
    folder = place.folder
    ignored = 0
    found: list[LabelledImage] = []
    for domain in _entries(folder):
        if domain.name == MASKS and domain.is_dir():
            continue
        if not domain.is_dir() or (domains is not None and domain.name not in domains):
            ignored += 1
            continue
        images_before = len(found)
        for class_folder in _entries(domain.path):
            if not class_folder.is_dir() or (classes is not None and class_folder.name not in classes):
                ignored += 1
                continue
            masks = _masks_by_stem(folder / MASKS / domain.name / class_folder.name)
            for file in _entries(class_folder.path):
                if not _is_image(file):
                    ignored += 1
                    continue
                mask_path = masks.get(os.path.splitext(file.name)[0])
                found.append(
                    LabelledImage(domain.name, class_folder.name, file.name, file.path, mask_path, file.stat().st_size)
                )
        ignored += len(found) == images_before and domains is None  # A folder without images is not a domain.
    domains = domains if domains is not None else sorted({image.domain for image in found})
    classes = classes if classes is not None else sorted({image.class_name for image in found})
    _check_names(place.source, (*domains, *classes))
    _check_masks(place.source, found)
    domain_order, class_order = ({name: place for place, name in enumerate(names)} for names in (domains, classes))
    found.sort(key=lambda image: (domain_order[image.domain], class_order[image.class_name], image.file_name))
    return DomainImages(place.source, tuple(domains), tuple(classes), tuple(found), ignored)


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
    for place in itertools.chain.from_iterable(candidates(root, folder, workspace)):
        absent = [domain for domain in domains if not (place.folder / domain).is_dir()]
        if not absent:
            return scan(place, domains, classes)
        if len(absent) < len(domains):
            partial = partial or f"{place.source} has no folder {', '.join(absent)}; {how_to_get_it}."
        if (images := otherwise(place, workspace)) is not None:
            return images
    raise UserError(
        partial
        or f"{title} was not found at {root}: neither folders {', '.join(domains)}, {or_else}nor a folder or archive "
        f"called {folder}; {how_to_get_it}; put it at {root / folder}, or give its place as root."
    )


def images_in_layout(folder: Path) -> int:
    """How many images are in `folder/DOMAIN/CLASS/`, whatever the names; 0 unless there are two classes."""
    of_classes: collections.Counter[str] = collections.Counter()
    for domain in _entries(folder):
        if domain.is_dir() and domain.name != MASKS:
            for class_folder in _entries(domain.path):
                if class_folder.is_dir():
                    of_classes[class_folder.name] += sum(_is_image(file) for file in _entries(class_folder.path))
    return of_classes.total() if len(+of_classes) >= 2 else 0


def check_nothing_absent(data: DomainImages) -> None:
    """Raises a UserError if a domain or a class has no image at all."""
    for kind, names in (("domain", data.domains), ("class", data.classes)):
        present = {image.domain if kind == "domain" else image.class_name for image in data.images}
        for name in names:
            if name not in present:
                text = f"{data.source} has no image of the {kind} {name} that could be read; complete the copy."
                raise UserError(text)


def _entries(folder: str | Path) -> Iterator[os.DirEntry[str]]:
    """The files and folders in a folder that are not hidden, by name; none where there is no such folder."""
    try:
        with os.scandir(folder) as entries:
            visible = [entry for entry in entries if not entry.name.startswith(".")]
    except (FileNotFoundError, NotADirectoryError):
        return
    yield from sorted(visible, key=lambda entry: entry.name)


def _is_image(entry: os.DirEntry[str]) -> bool:
    # A regular file, or a link to one: reading a pipe would never end.
    return entry.name.lower().endswith(SUFFIXES) and entry.is_file()


def _check_names(source: Path, names: Sequence[str]) -> None:
    # TFDS stores one name on each line, and strips it.
    for name in names:
        if name != name.strip() or not name.isprintable():
            raise UserError(
                f"{source} has a folder named {name!r}; rename it: no blanks at its ends, and printable letters only."
            )


def _masks_by_stem(folder: Path) -> dict[str, str]:
    """The paths of the masks in a folder, by name without extension."""
    masks: dict[str, str] = {}
    for mask in _entries(folder):
        if _is_image(mask):
            stem = os.path.splitext(mask.name)[0]
            if stem in masks:
                raise UserError(f"{masks[stem]} and {mask.path} are masks of the same image; keep one.")
            masks[stem] = mask.path
    return masks


def _check_masks(source: Path, images: Sequence[LabelledImage]) -> None:
    masks = sum(image.mask is not None for image in images)
    if 0 < masks < len(images):
        without = next(image.id for image in images if image.mask is None)
        raise UserError(
            f"{source / MASKS} has masks for {masks} of {len(images)} images, and none for {without}; "
            "add the others, or rename the folder to use no masks."
        )
