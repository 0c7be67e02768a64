"""The TFDS builder of Terra Incognita, how it is prepared, and what it is known by."""

import functools
from pathlib import Path

from align_jax.data.datasets.dataset import image_dataset
from align_jax.data.datasets.terra_incognita.raw_release import find_raw_release
from align_jax.data.preparing.builder import DomainImagesBuilder
from align_jax.data.preparing.counts import counts_table
from align_jax.data.preparing.image_folders import Counts, DomainImages, find_domains
from align_jax.data.preparing.prepare_images import prepare_images

DOMAINS = ("location_100", "location_38", "location_43", "location_46")
CLASSES = ("bird", "bobcat", "cat", "coyote", "dog", "empty", "opossum", "rabbit", "raccoon", "squirrel")
# As published; counts of each class were not.
PUBLISHED = {"location_100": 4879, "location_38": 9767, "location_43": 4020, "location_46": 6122}
NEWER_TOTAL = 24_330

HOW_TO_GET_IT = (
    "DomainBed's script (python -m domainbed.scripts.download, GitHub: facebookresearch/DomainBed) downloads and sorts "
    'the images, and LILA BC ("Caltech Camera Traps", lila.science) has the raw release, of which this takes the '
    "images (eccv_18_all_images_sm) with the five annotation files (eccv_18_annotations)"
)


class TerraIncognita(DomainImagesBuilder):
    """Ten kinds of camera trap images at four locations; see README.md beside this file."""


def find(root: Path, workspace: Path) -> DomainImages:
    """The images in `root`, sorted into folders or as released; archives are extracted to `workspace`."""
    return find_domains(
        root,
        workspace,
        DOMAINS,
        CLASSES,
        title="Terra Incognita",
        folder="terra_incognita",
        how_to_get_it=HOW_TO_GET_IT,
        otherwise=lambda place: find_raw_release(place, workspace, DOMAINS, CLASSES),
        or_else="nor the raw release's five annotation files, ",
    )


def which_version(counts: Counts) -> str:
    """Which of the two versions in circulation this is, by its counts; a table where it is not the published one.

    The raw release may give neither: images that show several of the classes are left out of it, and today's DomainBed
    sorts by another annotation file.
    """
    totals = {domain: sum(of_classes.values()) for domain, of_classes in counts.items()}
    total = sum(totals.values())
    if totals == PUBLISHED:
        return "These are the 24,788 images as published."
    table = counts_table(
        {domain: {"images": n} for domain, n in totals.items()},
        {domain: {"images": PUBLISHED[domain]} for domain in totals},
    )
    if total == NEWER_TOTAL:
        return f"These are the 24,330 images of newer downloads, not the 24,788 as published:\n{table}"
    return (
        "These are neither the 24,788 images as published nor the 24,330 of newer downloads, as may be with the raw "
        f"release, of which images that show several of the classes are left out:\n{table}"
    )


prepare = functools.partial(prepare_images, TerraIncognita, find, describe=which_version)
"""`prepare(root, prepared)`: the data set, written unless it is there; `prepare_images` says what else it takes."""

DATASET = image_dataset(
    prepare,
    ("root", "on_bad_image", "most_skipped"),
    title="Terra Incognita",
    domains=DOMAINS,
    classes=CLASSES,
    published_examples=PUBLISHED,
    citation=Path(__file__).with_name("CITATIONS.bib"),
)
