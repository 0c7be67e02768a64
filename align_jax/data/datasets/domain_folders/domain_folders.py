"""The TFDS builder of domain_folders, and how it is prepared."""

import functools
import re
from pathlib import Path
from typing import Literal

import tensorflow_datasets as tfds

from align_jax.data.preparing.builder import BadImagePolicy, DomainImagesBuilder
from align_jax.data.preparing.image_folders import MASKS, DomainImages, images_in_layout, scan
from align_jax.data.preparing.prepare_images import prepare_images
from align_jax.data.preparing.sources import Place, candidates
from align_jax.errors import UserError


class DomainFolders(DomainImagesBuilder):
    """Images in FOLDER/DOMAIN/CLASS/; see README.md beside this file. One configuration for each folder."""

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES = {"1.0.0": "First release."}  # noqa: RUF012 (TFDS's interface)


def prepare(
    root: Path,
    prepared: Path,
    *,
    folder: str,
    on_bad_image: Literal["error", "skip"] = "error",
    most_skipped: float = 0.01,
) -> tfds.core.DatasetBuilder:
    """Writes the data set under `prepared`, unless it is there, and returns a builder that reads it.

    Args:
        root: the folder that contains `folder`, or `folder` itself, or an archive; not needed once prepared.
        prepared: a local folder that all data sets share; made if need be.
        folder: the data set's folder or archive below `root`, such as "PACS"; the prepared one is called so too.
        on_bad_image: "error" or "skip", for images that cannot be read.
        most_skipped: the largest fraction of all images that may be skipped.

    Returns:
        A builder whose splits are the domains; see README.md.

    Raises:
        UserError: nothing is found, or it is not as it should be.
    """
    if not re.fullmatch(r"\w[\w+.-]*", folder, re.ASCII):
        raise UserError(
            f"The data set's folder is {folder!r}; name a folder or archive below {root}, in letters, digits and _+-. "
            "alone, such as --config.data.folder=PACS (launch/prepare.py: --folder=PACS)."
        )

    return prepare_images(
        DomainFolders,
        functools.partial(find, folder),
        root,
        prepared,
        BadImagePolicy(on_bad_image, most_skipped),
        config=tfds.core.BuilderConfig(name=folder, description=f"The images of {folder}."),
    )


def find(folder: str, root: Path, workspace: Path) -> DomainImages:
    """The images in `root/folder`, in `root` if it is called so, or in an archive, extracted to `workspace`.

    Raises:
        UserError: there is nothing.
    """
    for places in candidates(root, (folder,), workspace):
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
