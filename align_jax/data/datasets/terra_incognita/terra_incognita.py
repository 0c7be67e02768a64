"""The TFDS builder of Terra Incognita, its preparation, and its entry."""

import functools
from pathlib import Path

from align_jax.data.datasets.dataset import image_dataset
from align_jax.data.datasets.terra_incognita.raw_release import find_raw_release
from align_jax.data.preparing.builder import DomainImagesBuilder
from align_jax.data.preparing.counts import counts_table
from align_jax.data.preparing.image_folders import Counts, find_domains
from align_jax.data.preparing.prepare_images import prepare_images

DOMAINS = ("location_100", "location_38", "location_43", "location_46")
CLASSES = ("bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel")
# The published counts. Those of each class were not published.
PUBLISHED = {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122}
NEWER_TOTAL = 24_330

HOW_TO_GET_IT = (
    "DomainBed's script (python -m domainbed.scripts.download, GitHub: facebookresearch/DomainBed) downloads and sorts "
    'the images, and LILA BC ("Caltech Camera Traps", lila.science) has the raw release: the images '
    "(eccv_18_all_images_sm) and the five annotation files (eccv_18_annotations) are needed"
)


class TerraIncognita(DomainImagesBuilder):
    """Ten kinds of camera trap images at four locations; see README.md beside this file."""


def which_version(counts: Counts) -> str:
    """Which of the two versions in circulation this is, with a table of the counts if it is not the published one.

    Images from the raw release may be neither: those that show several of the classes are left out, and DomainBed now
    sorts by another annotation file.
    """
    totals = {domain: sum(of_classes.values()) for domain, of_classes in counts.items()}
    if totals == PUBLISHED:
        return "These are the 24,788 images as published."
    table = counts_table(
        {domain: {"images": n} for domain, n in totals.items()},
        {domain: {"images": PUBLISHED[domain]} for domain in totals},
    )
    if sum(totals.values()) == NEWER_TOTAL:
        return f"These are the 24,330 images of newer downloads, not the 24,788 as published:\n{table}"
    return (
        "These are neither the 24,788 images as published nor the 24,330 of newer downloads. The raw release may give "
        f"other counts, because images that show several of the classes are left out:\n{table}"
    )


find = functools.partial(
    find_domains,
    domains=DOMAINS,
    classes=CLASSES,
    title="Terra Incognita",
    folder="terra_incognita",
    how_to_get_it=HOW_TO_GET_IT,
    otherwise=functools.partial(find_raw_release, domains=DOMAINS, classes=CLASSES),
    or_else=" or the raw release's five annotation files",
)
prepare = functools.partial(prepare_images, TerraIncognita, find, describe=which_version)
"""`prepare(root, prepared)` prepares Terra Incognita; see `prepare_images` for its other arguments."""

DATASET = image_dataset(
    prepare,
    ("root", "on_bad_image", "most_skipped", "on_duplicate"),
    title="Terra Incognita",
    domains=DOMAINS,
    classes=CLASSES,
    published_examples=PUBLISHED,
    citation=Path(__file__).with_name("CITATIONS.bib"),
)
