"""The pictures of the cards: small, each stored once, and laid over each other by the page.

A map lies over its image, so that its opacity can be chosen. The pictures without, and with nothing but, the most
important pixels are made of the image, the filled image and one mask. So a method costs a map and a mask, however many
pictures are seen.
"""

import base64
import io
import math
from typing import NamedTuple

import numpy as np
from jaxtyping import Bool, Float, UInt8
from PIL import Image

from align_jax.reporting.overlays import HEAT, data_uri, enlarged_image, enlarged_map

MOST_BYTES = 10_000_000
"""Of a page: larger ones take long to open, and cannot be sent by mail."""
MASK_LEVELS = 8


class Sides(NamedTuple):
    """The longer sides of images and of maps, in pixels."""

    image: int
    map: int


SIDES = (Sides(224, 96), Sides(176, 64), Sides(128, 48), Sides(96, 32), Sides(64, 24))
"""Tried one after the other, until the page is small enough."""


def picture_uri(image: UInt8[np.ndarray, "h w 3"], side: int) -> str:
    """The image in a `data:` address, its longer side at most `side` pixels."""
    return data_uri(enlarged_image(image, side) if max(image.shape[:2]) > side else image, quality=80)


def heat_uri(saliency: Float[np.ndarray, "h w"], side: int) -> str:
    """A map in [0, 1] as heat, opaque: the page lays it over the image. What is not finite is drawn as 0."""
    known = np.clip(np.nan_to_num(saliency, nan=0.0, posinf=1.0, neginf=0.0), 0.0, 1.0)
    small = enlarged_map(known, side) if max(known.shape) > side else known
    return data_uri((255 * HEAT(small)[..., :3]).astype(np.uint8), quality=75)


def mask_uri(top: Bool[np.ndarray, "h w"], side: int) -> str:
    """Pixels as the opacity of a picture without colours: 1 where they are chosen."""
    height, width = top.shape
    scale = min(1.0, side / max(height, width))
    small = Image.fromarray((255 * top).astype(np.uint8)).resize(
        (max(1, round(width * scale)), max(1, round(height * scale))), Image.Resampling.BOX
    )
    # A pixel of the small mask is opaque by the share of those below it; few levels, which are packed well.
    steps = MASK_LEVELS - 1
    opacity = np.rint(np.rint(np.asarray(small) / 255 * steps) / steps * 255).astype(np.uint8)
    pixels = np.dstack([np.zeros((*opacity.shape, 3), np.uint8), opacity])
    stream = io.BytesIO()
    Image.fromarray(pixels).save(stream, format="WEBP", lossless=True, quality=50, method=2)
    return f"data:image/webp;base64,{base64.b64encode(stream.getvalue()).decode()}"


def most_important(saliency: Float[np.ndarray, "h w"], fraction: float) -> Bool[np.ndarray, "h w"] | None:
    """The `ceil(fraction h w)` pixels of the highest values; of equal values the first ones, row by row.

    Returns:
      None for a map that orders no pixels: it is constant, or not finite.
    """
    if not np.isfinite(saliency).all() or saliency.min() == saliency.max():
        return None
    # Rounding keeps whole counts whole: 0.07 * 100 is more than 7.
    count = math.ceil(round(fraction * saliency.size, 6))
    top = np.zeros(saliency.size, bool)
    top[np.argsort(-saliency.ravel(), kind="stable")[:count]] = True
    return top.reshape(saliency.shape)
