"""Augmentation of one example, image and mask together, on the host.

Training images get DomainBed's random resized crop, horizontal flip, colour jitter and grey. Images of evaluation are
only resized. DomainBed also augments its validation images; that defect is not copied.

OpenCV changes the pixels: it holds no lock while it works, and is several times faster than Pillow at colours. Each
colour change is rounded and clipped to 0 ... 255, as in torchvision.
"""

import dataclasses
import math
from typing import Any

import cv2
import numpy as np
from jaxtyping import UInt8

Example = dict[str, Any]

ASPECT_RATIO = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly training images are changed; the defaults are DomainBed's."""

    smallest_crop: float = 0.7  # the smallest share of the image's area that a crop keeps
    jitter: float = 0.3  # brightness, contrast and saturation are multiplied by a factor within 1 plus or minus this
    hue: float = 0.3  # the colour circle is turned by at most this share of a full turn, either way
    grey: float = 0.1  # the probability that an image becomes grey


def augment(example: Example, generator: np.random.Generator, size: int, strength: Augmentation) -> Example:
    """A training example: `image` and `mask` are cropped and flipped alike; only the image's colours change.

    Args:
      example: `image` uint8 [h w 3], perhaps `mask` uint8 [h w 1], and other fields, which stay as they are.
      generator: of the random numbers.
      size: side of the square result, in pixels.
      strength: how strongly the image is changed.
    """
    height, width = example["image"].shape[:2]
    rows, columns = _random_crop(generator, height, width, strength.smallest_crop)
    flip = generator.random() < 0.5

    def cropped(pixels: UInt8[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "size size c"]:
        changed = resample(pixels[rows, columns], size)
        return np.ascontiguousarray(changed[:, ::-1]) if flip else changed

    changed = {"image": _colour(cropped(example["image"]), generator, strength)}
    if "mask" in example:
        changed["mask"] = cropped(example["mask"])
    return example | changed


def resize(example: Example, size: int) -> Example:
    """An evaluation example: `image` and `mask` (if there is one) are resized to `size` x `size`."""
    return example | {name: resample(example[name], size) for name in ("image", "mask") if name in example}


def resample(pixels: UInt8[np.ndarray, "h w c"], size: int) -> UInt8[np.ndarray, "size size c"]:
    """Pixels resized to a square: averaged along a side that shrinks, against aliasing; otherwise bilinear."""
    height, width, channels = pixels.shape
    if (height, width) == (size, size):
        return pixels
    # OpenCV averages areas only where both sides shrink.
    if (smaller := (min(height, size), min(width, size))) != (height, width):
        pixels = cv2.resize(pixels, smaller[::-1], interpolation=cv2.INTER_AREA)
    return cv2.resize(pixels, (size, size), interpolation=cv2.INTER_LINEAR).reshape(size, size, channels)


def _random_crop(generator: np.random.Generator, height: int, width: int, smallest: float) -> tuple[slice, slice]:
    """Rows and columns of a crop with a random area and aspect ratio; the whole image if no crop fits."""
    for _ in range(10):
        area = width * height * generator.uniform(smallest, 1)
        ratio = math.exp(generator.uniform(math.log(ASPECT_RATIO[0]), math.log(ASPECT_RATIO[1])))
        crop_width, crop_height = round(math.sqrt(area * ratio)), round(math.sqrt(area / ratio))
        if 0 < crop_width <= width and 0 < crop_height <= height:
            left = int(generator.integers(width - crop_width, endpoint=True))
            upper = int(generator.integers(height - crop_height, endpoint=True))
            return slice(upper, upper + crop_height), slice(left, left + crop_width)
    return slice(0, height), slice(0, width)


def _colour(
    image: UInt8[np.ndarray, "h w 3"], generator: np.random.Generator, strength: Augmentation
) -> UInt8[np.ndarray, "h w 3"]:
    brightness, contrast, saturation = generator.uniform(1 - strength.jitter, 1 + strength.jitter, 3)
    hue, grey = generator.uniform(-strength.hue, strength.hue), generator.random() < strength.grey
    changes = ((_brighten, brightness), (_contrast, contrast), (_saturate, saturation), (_rotate_hue, hue))
    for number in generator.permutation(len(changes)):
        change, amount = changes[number]
        image = change(image, amount)
    return _as_rgb(_grey(image)) if grey else image


def _brighten(image: UInt8[np.ndarray, "h w 3"], factor: float) -> UInt8[np.ndarray, "h w 3"]:
    return cv2.convertScaleAbs(image, alpha=factor)


def _contrast(image: UInt8[np.ndarray, "h w 3"], factor: float) -> UInt8[np.ndarray, "h w 3"]:
    # Every level moves away from the image's mean grey, or towards it: a table of 256 values is enough.
    table = factor * np.arange(256) + (1 - factor) * cv2.mean(_grey(image))[0]
    return cv2.LUT(image, np.clip(np.round(table), 0, 255).astype(np.uint8))


def _saturate(image: UInt8[np.ndarray, "h w 3"], factor: float) -> UInt8[np.ndarray, "h w 3"]:
    # Every pixel moves away from its own grey, or towards it.
    return cv2.addWeighted(image, factor, _as_rgb(_grey(image)), 1 - factor, 0)


def _grey(image: UInt8[np.ndarray, "h w 3"]) -> UInt8[np.ndarray, "h w"]:
    return cv2.cvtColor(image, cv2.COLOR_RGB2GRAY)


def _as_rgb(grey: UInt8[np.ndarray, "h w"]) -> UInt8[np.ndarray, "h w 3"]:
    return cv2.cvtColor(grey, cv2.COLOR_GRAY2RGB)


def _rotate_hue(image: UInt8[np.ndarray, "h w 3"], turn: float) -> UInt8[np.ndarray, "h w 3"]:
    # 256 levels of hue make a full turn of the colour circle.
    rotated = cv2.cvtColor(image, cv2.COLOR_RGB2HSV_FULL)
    rotated[..., 0] += np.uint8(round(turn * 256) % 256)
    return cv2.cvtColor(rotated, cv2.COLOR_HSV2RGB_FULL)
