"""Masks from elsewhere, such as those of a segmentation model: FOLDER/ID.png for every training example.

Where there is no PNG, a mask may have any other suffix of images.

The data set defines the ids. In folders of images they are `DOMAIN/CLASS/FILE`, so that the mask of
`photo/dog/003.jpg` is `FOLDER/photo/dog/003.png`.
"""

import itertools
from collections.abc import Mapping
from pathlib import Path, PurePosixPath
from typing import Any

import numpy as np
from jaxtyping import UInt8

from align_jax.data.domains import Changed, Source, column
from align_jax.data.image_files import read_content
from align_jax.data.images import SUFFIXES, BadImage, decode_mask
from align_jax.errors import UserError

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
      UserError: the folder or a mask is missing, or two images would share a mask.
    """
    if not folder.is_dir():
        raise UserError(
            f"config.data.mask_folder is {str(folder)!r}, which is not a folder; give one with ID.png in it."
        )
    owners: dict[Path, str] = {}
    for source in sources.values():
        for identifier in column(source, "id"):
            path = mask_path(folder, identifier)
            if (other := owners.setdefault(path, identifier)) != identifier:
                raise UserError(f"{other} and {identifier} would share the mask {path}; rename one of the images.")
    masks: dict[str, Path] = {}
    missing = []
    for path, identifier in owners.items():
        if (mask := _present(path)) is None:
            missing.append(path)
        else:
            masks[identifier] = mask
    if missing:
        named = [f"{path} (a link to nothing)" if path.is_symlink() else str(path) for path in missing[:SHOWN]]
        shown = ", ".join(named) + (", ..." if len(missing) > SHOWN else "")
        total = sum(map(len, sources.values()))
        raise UserError(f"{len(missing):,} of {total:,} training images have no mask: {shown} must be there.")

    def with_mask(example: dict[str, Any]) -> dict[str, Any]:
        height, width = example["image"].shape[:2]
        return example | {"mask": _read(masks[example["id"]], height, width)}

    return {domain: Changed(source, with_mask) for domain, source in sources.items()}


def _present(path: Path) -> Path | None:
    """The mask, or the one of the same name with another suffix of images, in lower or upper case."""
    others = (path.with_suffix(cased) for suffix in SUFFIXES for cased in (suffix, suffix.upper()))
    return next((place for place in itertools.chain([path], others) if place.is_file()), None)


def _read(path: Path, height: int, width: int) -> UInt8[np.ndarray, "h w 1"]:
    try:
        mask = decode_mask(read_content(path))
    except BadImage as error:
        raise UserError(f"The mask {path} cannot be read ({error}); make it anew.") from error
    if mask.shape[:2] != (height, width):
        raise UserError(
            f"The mask {path} has {mask.shape[1]} x {mask.shape[0]} pixels, its image {width} x {height}; make it anew."
        )
    return mask
