"""Reads a user's images, one at a time: as they are drawn, and as the networks see them."""

import dataclasses
from collections.abc import Callable, Iterator, Sequence

import numpy as np
from jaxtyping import UInt8

from align_jax.data.augment import resample
from align_jax.data.image_files import read_content
from align_jax.data.images import SUFFIXES, BadImage, decode, without_pillow_warnings
from align_jax.errors import UserError, one_line
from align_jax.inference.find_images import Found
from align_jax.reporting.explain_page import Skipped
from align_jax.reporting.overlays import enlarged_image

# Bounds of the longer side of a written picture, in pixels: large enough to see, and no finer than a map can be.
SHORTEST, LONGEST = 256, 1024


@dataclasses.dataclass(frozen=True)
class Readable:
    """An image as it is drawn, in its own shape, and as the networks see it; `shape` is the file's."""

    found: Found
    shown: UInt8[np.ndarray, "h w 3"]
    seen: UInt8[np.ndarray, "s s 3"]
    shape: tuple[int, int]


def readable_images(
    images: Sequence[Found], size: int, skipped: list[Skipped], say: Callable[[str], None]
) -> Iterator[Readable]:
    """The images that can be read, at `size` pixels; the others are added to `skipped`, and said."""
    for found in images:
        try:
            with without_pillow_warnings():
                pixels = decode(read_content(found.path))
        except BadImage as error:
            reason = str(error)
            skipped.append(Skipped(one_line(str(found.path)), one_line(" ".join(reason.split()))))
            say(f"{skipped[-1].name}: skipped, {skipped[-1].reason}")
            continue
        yield Readable(found, _as_drawn(pixels), resample(pixels, size), pixels.shape[:2])


def none_readable(skipped: Sequence[Skipped]) -> UserError:
    """The answer where every image was skipped."""
    reasons = "; ".join(f"{image.name}: {image.reason}" for image in skipped[:3])
    return UserError(
        f"None of the {len(skipped)} images can be read ({reasons}); give images that end in {', '.join(SUFFIXES)}."
    )


def _as_drawn(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "drawn_h drawn_w 3"]:
    """The image, resized if its longer side is not between SHORTEST and LONGEST pixels."""
    longer = max(image.shape[:2])
    side = min(max(longer, SHORTEST), LONGEST)
    return image if side == longer else enlarged_image(image, side)
