"""The TFDS builder of domain_folders, its preparation, and its entry."""

import collections
import dataclasses
import functools
import re
from pathlib import Path

import tensorflow_datasets as tfds

from align_jax.data.datasets.dataset import Dataset, image_dataset
from align_jax.data.datasets.domain_folders.layout import find_layout
from align_jax.data.given_groups import FOLDER
from align_jax.data.images import SUFFIXES
from align_jax.data.preparing.builder import DomainImagesBuilder
from align_jax.data.preparing.image_folders import MASKS, OUTSIDE, DomainImages, scan
from align_jax.data.preparing.policies import OnBadImage, OnDuplicate
from align_jax.data.preparing.prepare_images import prepare_images
from align_jax.data.preparing.sources import candidates
from align_jax.data.preparing.what_is_there import images_in, names_in
from align_jax.errors import UserError

# The titles of the folders that DomainBed's script makes. Any other folder's title is its name.
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
    on_duplicate: OnDuplicate = "keep",
    group: str = "",
) -> tfds.core.DatasetBuilder:
    """Writes the images of `folder` under `prepared`, unless they are there; see README.md beside this file.

    Args:
        root, prepared, on_bad_image, most_skipped, on_duplicate: see `prepare_images`.
        folder: the data set's folder or archive below `root`, such as "PACS", and the name of the prepared data set.
        group: "folder" if the images lie in DOMAIN/CLASS/GROUP/. The records are the same for every other value.

    Raises:
        UserError: as for `prepare_images`; or the name cannot be a folder's.
    """
    check_name(folder, root)
    return prepare_images(
        DomainFolders,
        functools.partial(find, folder, group=group),
        root,
        prepared,
        on_bad_image=on_bad_image,
        most_skipped=most_skipped,
        on_duplicate=on_duplicate,
        config=tfds.core.BuilderConfig(name=folder, description=f"The images of {folder}."),
    )


def check_name(folder: str, root: str | Path) -> None:
    """Raises a UserError for a name that cannot be a folder's, or that leads elsewhere."""
    if not re.fullmatch(r"\w[\w+.-]*", folder, re.ASCII):
        raise UserError(
            f"The data set's folder is {folder!r}; name a folder or archive below {root}, with only letters, digits "
            "and _+-. in its name, such as --config.data.folder=PACS (launch/prepare.py: --folder=PACS)."
        )


def find(folder: str, root: Path, workspace: Path, group: str = "") -> DomainImages:
    """The images in `root/folder`, in `root` if that is its name, or in an archive, extracted to `workspace`.

    The folders right below the classes' are groups if `group` is "folder".

    Raises:
      UserError: there are none in DOMAIN/CLASS/, or many elsewhere; or it is not clear which folders are the classes.
    """
    seen = []
    for places in candidates(root, folder, workspace):
        # The name must fit, because the prepared data set is called by it.
        named_so = [place for place in places if folder.lower() in place.names and place.folder.name != MASKS]
        for outer in named_so:
            if any(outer.folder.is_relative_to(other.folder) for other in named_so if other != outer):
                continue
            if (found := find_layout(outer, folder, group == FOLDER)) is not None:
                data = scan(found[0])
                return data._replace(others=data.others + collections.Counter({OUTSIDE: found[1]}))
            seen.append(images_in(outer.folder, outer.source))
    if not seen:
        raise UserError(
            f"{root} has no folder or archive {folder}: {names_in(root, root)}; put the data set at {root / folder}, "
            "or give its place as root. DomainBed's README (GitHub, facebookresearch/DomainBed) says how to get PACS, "
            "Office-Home and DomainNet in the layout DOMAIN/CLASS/IMAGE."
        )
    raise UserError(
        f"{folder} has no images ({', '.join(SUFFIXES)}) of two classes or more in DOMAIN/CLASS/: {'; '.join(seen)}; "
        f"sort the images into {folder}/DOMAIN/CLASS/, also where there is one domain."
    )


DATASET = image_dataset(
    prepare,
    ("root", "folder", "on_bad_image", "most_skipped", "on_duplicate", "group"),
    title="domain_folders",
    check=lambda data: check_name(data.folder, data.root),
    citation=Path(__file__).with_name("CITATIONS.bib"),
)


def named(folder: str) -> Dataset:
    """The entry of one folder's images. Results call such a data set by the folder's name."""
    return dataclasses.replace(DATASET, title=FOLDER_TITLES.get(folder, folder))
