"""True masks made worse on purpose, to study how guidance depends on the quality of its masks.

| quality | the mask |
|---|---|
| `true` | the true mask |
| `dilated`, `eroded` | its outline moves outwards, or inwards |
| `shifted` | it moves as a whole, in a random direction for each example |
| `blurred` | its outline is blurred; above the threshold 0.5 only the core of a large object is left |
| `noisy` | object and background are exchanged in random cells of a grid |
| `random` | a random ellipse replaces it |
| `inverted` | object and background are exchanged |

In this order the mean IoU with the true masks falls: 1, 0.77, 0.67, 0.57, 0.42, 0.34, 0.18 and 0 on emoji_scenes.
Lengths are in units of the image's shorter side, so that one strength fits every size. Random numbers depend only on
the example's id: an example has the same mask in every epoch and every run.
"""

import hashlib
import math
from collections.abc import Callable, Mapping
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

from align_jax.data.domains import Changed, Source

DILATION_RADIUS = 1 / 32
EROSION_RADIUS = 1 / 24
SHIFT = 1 / 10
BLUR_STANDARD_DEVIATION = 0.18
# The cells are coarse, because fine noise would average out in the few cells of a class activation map.
NOISE_CELL = 1 / 16
NOISE_PROBABILITY = 0.35
RANDOM_DIAMETERS = (0.4, 0.8)

Mask = UInt8[np.ndarray, "h w 1"]


def dilated(mask: Mask) -> Mask:
    """The outline moved outwards by `DILATION_RADIUS`."""
    return cv2.dilate(mask, _disc(DILATION_RADIUS * _side(mask))).reshape(mask.shape)


def eroded(mask: Mask) -> Mask:
    """The outline moved inwards by `EROSION_RADIUS`; thin objects vanish."""
    return cv2.erode(mask, _disc(EROSION_RADIUS * _side(mask))).reshape(mask.shape)


def shifted(mask: Mask, generator: np.random.Generator) -> Mask:
    """Moved by `SHIFT` in a random direction; parts that leave the image are lost."""
    angle = generator.uniform(0, 2 * math.pi)
    distance = SHIFT * _side(mask)
    move = np.array([[1, 0, distance * math.cos(angle)], [0, 1, distance * math.sin(angle)]])
    return cv2.warpAffine(mask, move, mask.shape[1::-1]).reshape(mask.shape)


def blurred(mask: Mask) -> Mask:
    """Convolved with a Gaussian of `BLUR_STANDARD_DEVIATION`, with background around the image."""
    deviation = BLUR_STANDARD_DEVIATION * _side(mask)
    # OpenCV filters float32 ten times as fast as bytes.
    soft = cv2.GaussianBlur(mask.astype(np.float32), (0, 0), deviation, borderType=cv2.BORDER_CONSTANT)
    return np.round(soft).astype(np.uint8).reshape(mask.shape)


def noisy(mask: Mask, generator: np.random.Generator) -> Mask:
    """Object and background exchanged in each cell of `NOISE_CELL` with `NOISE_PROBABILITY`."""
    height, width = mask.shape[:2]
    cell = max(round(NOISE_CELL * _side(mask)), 1)
    cells = generator.random((math.ceil(height / cell), math.ceil(width / cell))) < NOISE_PROBABILITY
    flipped = cells.repeat(cell, axis=0).repeat(cell, axis=1)[:height, :width, None]
    return np.where(flipped, 255 - mask, mask)


def random(mask: Mask, generator: np.random.Generator) -> Mask:
    """A filled ellipse with random diameters (`RANDOM_DIAMETERS`), angle and centre; only the mask's size is used."""
    height, width = mask.shape[:2]
    diameters = generator.uniform(*RANDOM_DIAMETERS, 2) * _side(mask)
    centre = generator.uniform(0, (width, height))
    turn = generator.uniform(0, 180)
    result = np.zeros((height, width), np.uint8)
    cv2.ellipse(result, (centre.tolist(), diameters.tolist(), turn), 255, thickness=cv2.FILLED)
    return result[..., None]


def inverted(mask: Mask) -> Mask:
    """Object and background exchanged."""
    return 255 - mask


# From the best to the worst.
QUALITIES: dict[str, Callable[[Mask, np.random.Generator], Mask]] = {
    "true": lambda mask, _: mask,
    "dilated": lambda mask, _: dilated(mask),
    "eroded": lambda mask, _: eroded(mask),
    "shifted": shifted,
    "blurred": lambda mask, _: blurred(mask),
    "noisy": noisy,
    "random": random,
    "inverted": lambda mask, _: inverted(mask),
}


def degraded(mask: Mask, quality: str, identifier: str) -> Mask:
    """A true mask (255 on the object, 0 beside it) at one of the `QUALITIES`; the example's id is the seed."""
    # `hash` would differ from process to process.
    seed = int.from_bytes(hashlib.sha256(identifier.encode()).digest()[:8], "big")
    return QUALITIES[quality](mask, np.random.default_rng(seed))


def with_quality(sources: Mapping[str, Source], quality: str) -> dict[str, Source]:
    """Training sources with their true masks at a quality, `config.data.mask_quality`."""

    def change(example: dict[str, Any]) -> dict[str, Any]:
        return example | {"mask": degraded(example["mask"], quality, example["id"])}

    return {domain: Changed(source, change) for domain, source in sources.items()}


def _side(mask: Mask) -> int:
    return min(mask.shape[:2])


def _disc(radius: float) -> UInt8[np.ndarray, "k k"]:
    """A structuring element: the pixels within `radius` of the middle one."""
    reach = np.arange(-math.floor(radius), math.floor(radius) + 1)
    return (reach[:, None] ** 2 + reach**2 <= radius**2).astype(np.uint8)
