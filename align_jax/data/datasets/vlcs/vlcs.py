"""The TFDS builder of VLCS, its preparation, and its entry."""

import functools
from pathlib import Path

from align_jax.data.datasets.dataset import image_dataset
from align_jax.data.preparing.builder import DomainImagesBuilder
from align_jax.data.preparing.counts import counts_table
from align_jax.data.preparing.image_folders import Counts, find_domains
from align_jax.data.preparing.prepare_images import prepare_images
from align_jax.data.preparing.sources import Place
from align_jax.errors import UserError

DOMAINS = ("Caltech101", "LabelMe", "SUN09", "VOC2007")
CLASSES = ("bird", "car", "chair", "dog", "person")
# The copy that DomainBed's script downloads: 10,729 images.
PUBLISHED = {
    domain: dict(zip(CLASSES, counts, strict=True))
    for domain, counts in {
        "Caltech101": (237, 123, 118, 67, 870),
        "LabelMe": (80, 1209, 88, 42, 1237),
        "SUN09": (20, 932, 1036, 30, 1264),
        "VOC2007": (330, 699, 428, 420, 1499),
    }.items()
}
# The other copy in circulation.
OTHER_DOMAINS = ("CALTECH", "LABELME", "PASCAL", "SUN")
OTHER_PARTS = ("train", "crossval", "test")

HOW_TO_GET_IT = (
    "DomainBed's script (python -m domainbed.scripts.download, GitHub: facebookresearch/DomainBed) downloads the copy "
    "that published results use"
)


class VLCS(DomainImagesBuilder):
    """Five classes in photographs of four data sets; see README.md beside this file."""


def which_copy(counts: Counts) -> str:
    """A table of the counts, where they differ from the published ones."""
    if counts == PUBLISHED:
        return ""
    return f"This is not the copy of 10,729 images that DomainBed uses:\n{counts_table(counts, PUBLISHED)}"


def refuse_other_copy(place: Place, workspace: Path) -> None:
    """Raises a UserError where a place has at least three of the other copy's domains, with its splits."""
    del workspace  # nothing has to be extracted to recognise it
    parts = [[(place.folder / domain / part).is_dir() for part in OTHER_PARTS] for domain in OTHER_DOMAINS]
    if sum(map(any, parts)) >= 3:
        raise UserError(
            f"{place.source} is the other copy of VLCS in circulation (CALTECH, LABELME, PASCAL and SUN, each with "
            "train, crossval and test, as Dassl and JigenDG use it), with other images and splits, so that results on "
            f"it cannot be compared; {HOW_TO_GET_IT}."
        )


find = functools.partial(
    find_domains,
    domains=DOMAINS,
    classes=CLASSES,
    title="VLCS",
    folder="VLCS",
    how_to_get_it=HOW_TO_GET_IT,
    otherwise=refuse_other_copy,
)
prepare = functools.partial(prepare_images, VLCS, find, describe=which_copy)
"""`prepare(root, prepared)` prepares VLCS; see `prepare_images` for its other arguments."""

DATASET = image_dataset(
    prepare,
    ("root", "on_bad_image", "most_skipped", "on_duplicate"),
    title="VLCS",
    domains=DOMAINS,
    classes=CLASSES,
    published_examples={domain: sum(of_classes.values()) for domain, of_classes in PUBLISHED.items()},
    citation=Path(__file__).with_name("CITATIONS.bib"),
)
