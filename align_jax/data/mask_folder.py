"""Masks from elsewhere, such as those of a segmentation model: FOLDER/ID.png for every training example.

A mask may have any other suffix of images, in any case; two masks of one name are refused.

The data set defines the ids. In folders of images they are `DOMAIN/CLASS/FILE`, so that the mask of
`photo/dog/003.jpg` is `FOLDER/photo/dog/003.png`.
"""

from collections.abc import Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from align_jax.data.domains import Changed, Source, column
from align_jax.data.image_files import read_content
from align_jax.data.images import SUFFIXES, BadImage, decode_mask
from align_jax.data.preparing.image_folders import masks_by_stem
from align_jax.errors import UserError, listed

# How many missing masks a message names.
SHOWN = 3


def mask_path(folder: Path, identifier: str) -> Path:
    """The path of an example's mask; a UserError where the id leads out of the folder, or does not name a file."""
    relative = PurePosixPath(identifier)
    if relative.is_absolute() or ".." in relative.parts or not relative.name or "\0" in identifier:
        raise UserError(
            f"The example's id {identifier!r} does not name a file inside the masks' folder; prepare the data set anew."
        )
    # Only the suffixes of images are replaced, since an id need not be a file's name.
    known = relative.suffix.lower() in SUFFIXES
    return folder / (relative.with_suffix(".png") if known else relative.with_name(f"{relative.name}.png"))


def with_masks(sources: Mapping[str, Source], folder: Path) -> dict[str, Source]:
    """Training sources with the folder's masks.

    Raises:
      UserError: the folder or a mask is missing, an image has two masks, or two images would share one.
    """
    if not folder.is_dir():
        raise UserError(
            f"config.data.mask_folder is {str(folder)!r}, which is not a folder; give one with ID.png in it."
        )
    identifiers = [identifier for source in sources.values() for identifier in column(source, "id")]
    masks = mask_files(folder, identifiers, "training images")

    def with_mask(example: dict[str, Any]) -> dict[str, Any]:
        height, width = example["image"].shape[:2]
        return example | {"mask": read_mask(masks[example["id"]], height, width)}

    return {domain: Changed(source, with_mask) for domain, source in sources.items()}


def mask_files(folder: Path, identifiers: Sequence[str], whose: str) -> dict[str, Path]:
    """The mask of each image.

    Args:
      folder: with the masks.
      identifiers: the images' ids.
      whose: what these are in words, such as "training images".

    Raises:
      UserError: a mask is missing, an image has two, or two images would share one.
    """
    owners: dict[Path, str] = {}
    for identifier in identifiers:
        path = mask_path(folder, identifier)
        if (other := owners.setdefault(path, identifier)) != identifier:
            raise UserError(f"{other} and {identifier} would share the mask {path}; rename one of the images.")
    by_stem = {place: masks_by_stem(place) for place in {path.parent for path in owners}}
    masks = {of: Path(by_stem[path.parent].get(path.stem, path)) for path, of in owners.items()}
    missing = [path for path in masks.values() if not path.is_file()]
    if missing:
        named = [f"{path} (a link to nothing)" if path.is_symlink() else str(path) for path in missing]
        raise UserError(
            f"{len(missing):,} of {len(identifiers):,} {whose} have no mask: {listed(named, SHOWN)} must be there."
        )
    return masks


def read_mask(path: Path, height: int, width: int) -> UInt8[np.ndarray, "h w 1"]:
    """A mask of an image of this size.

    Raises:
      UserError: it cannot be read, or has another size.
    """
    try:
        mask = decode_mask(read_content(path))
    except BadImage as error:
        raise UserError(f"The mask {path} cannot be read ({error}); make it anew.") from error
    if mask.shape[:2] != (height, width):
        raise UserError(
            f"The mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {width} x {height}; make it anew."
        )
    return mask
