"""The TFDS builder of domain_folders, and how it is prepared."""

import re
import sys
from pathlib import Path
from typing import Literal

import tensorflow_datasets as tfds

from align_jax.data.datasets.domain_images import check_nothing_absent, looks_like_domain_folders, scan
from align_jax.data.datasets.domain_images_builder import BadImagePolicy, DomainImagesBuilder
from align_jax.data.datasets.preparing import check_local, prepare_once
from align_jax.data.datasets.sources import candidates, found
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
    check_local(root, prepared)
    if not re.fullmatch(r"\w[\w+.-]*", folder, re.ASCII):
        raise UserError(
            f"The data set's folder is {folder!r}; name a folder or archive below {root}, in letters, digits and _+-. "
            "alone, such as --config.data.folder=PACS (launch/prepare.py: --folder=PACS)."
        )

    def write(workspace: Path) -> None:
        places = (
            place
            # The root is the data set's folder only if it is called so: its prepared form gets the name.
            for place in candidates(root, (folder,), workspace)
            if place != root or root.name.lower() == folder.lower()
        )
        source = next((place for place in places if looks_like_domain_folders(place)), None)
        if source is None:
            raise UserError(
                f"{root} has no folder or archive {folder} with images (.jpg, .jpeg, .png, .webp) in DOMAIN/CLASS/; "
                f"put the data set at {root / folder}, or give its place as root. DomainBed's README (GitHub, "
                "facebookresearch/DomainBed) says how to get PACS, Office-Home and DomainNet in this layout."
            )
        images = scan(source)
        check_nothing_absent(images, images.counts())
        print(found(folder, images), file=sys.stderr)
        DomainFolders(
            source=images,
            policy=BadImagePolicy(on_bad_image, most_skipped),
            config=tfds.core.BuilderConfig(name=folder, description=f"The images of {folder}."),
            data_dir=prepared,
        ).download_and_prepare(download_dir=workspace)

    place = prepared / "domain_folders" / folder / str(DomainFolders.VERSION)
    prepare_once(place, write)
    return tfds.builder_from_directory(place)
