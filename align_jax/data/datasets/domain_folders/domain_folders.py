"""The TFDS builder of domain_folders, how it is prepared, and what it is known by."""

import dataclasses
import functools
import re
from pathlib import Path

import tensorflow_datasets as tfds

from align_jax.data.datasets.dataset import Dataset, image_dataset
from align_jax.data.preparing.builder import DomainImagesBuilder, OnBadImage
from align_jax.data.preparing.image_folders import MASKS, DomainImages, images_in_layout, scan
from align_jax.data.preparing.prepare_images import prepare_images
from align_jax.data.preparing.sources import Place, candidates
from align_jax.errors import UserError

# Of folders as DomainBed's script calls them; any other one's title is its name.
FOLDER_TITLES = {"office_home": "Office-Home", "domain_net": "DomainNet"}


class DomainFolders(DomainImagesBuilder):
    """Images in FOLDER/DOMAIN/CLASS/; see README.md beside this file. One configuration for each folder."""


def prepare(
    root: str | Path,
    prepared: str | Path,
    *,
    folder: str,
    on_bad_image: OnBadImage = "error",
    most_skipped: float = 0.01,
) -> tfds.core.DatasetBuilder:
    """The images of `folder`, written under `prepared` unless they are there; see README.md beside this file.

    Args:
        root, prepared, on_bad_image, most_skipped: as for `prepare_images`.
        folder: the data set's folder or archive below `root`, such as "PACS"; the prepared one is called so too.

    Raises:
        UserError: as `prepare_images`, or a name that could not be a folder's.
    """
    check_name(folder, root)
    return prepare_images(
        DomainFolders,
        functools.partial(find, folder),
        root,
        prepared,
        on_bad_image=on_bad_image,
        most_skipped=most_skipped,
        config=tfds.core.BuilderConfig(name=folder, description=f"The images of {folder}."),
    )


def check_name(folder: str, root: str | Path) -> None:
    """Refuses a name that could not be a folder's, or that leads elsewhere.

    Raises:
        UserError: see above.
    """
    if not re.fullmatch(r"\w[\w+.-]*", folder, re.ASCII):
        raise UserError(
            f"The data set's folder is {folder!r}; name a folder or archive below {root}, in letters, digits and _+-. "
            "alone, such as --config.data.folder=PACS (launch/prepare.py: --folder=PACS)."
        )


def find(folder: str, root: Path, workspace: Path) -> DomainImages:
    """The images in `root/folder`, in `root` if it is called so, or in an archive, extracted to `workspace`.

    Raises:
        UserError: there is nothing.
    """
    for places in candidates(root, folder, workspace):
        # The prepared data set gets the name: nothing called otherwise is taken for it.
        images_in = {place: images_in_layout(place.folder) for place in places if _may_be(place, folder)}
        # Strays may make a layout of other folders too.
        best = max(images_in, key=images_in.__getitem__, default=None)
        if best is not None and images_in[best]:
            return scan(best)
    raise UserError(
        f"{root} has no folder or archive {folder} with images (.jpg, .jpeg, .png, .webp) of two classes or more in "
        f"DOMAIN/CLASS/; put the data set at {root / folder}, or give its place as root. DomainBed's README (GitHub, "
        "facebookresearch/DomainBed) says how to get PACS, Office-Home and DomainNet in this layout."
    )


def _may_be(place: Place, folder: str) -> bool:
    return folder.lower() in place.names and place.folder.name != MASKS


DATASET = image_dataset(
    prepare,
    ("root", "folder", "on_bad_image", "most_skipped"),
    title="domain_folders",
    check=lambda data: check_name(data.folder, data.root),
    citation=Path(__file__).with_name("CITATIONS.bib"),
)


def named(folder: str) -> Dataset:
    """The entry of one folder's images, whose name in results is the folder's."""
    return dataclasses.replace(DATASET, title=FOLDER_TITLES.get(folder, folder))
