"""Augmentation of one example, image and mask together, on the host.

Training: random resized crop (scale 0.7 to 1), horizontal flip, colour jitter (0.3 on brightness, contrast, saturation
and hue), grey with probability 0.1. Evaluation: resize only. This is DomainBed's recipe, except that its validation
images are augmented too, which is a defect that is not copied.
"""

import dataclasses
import math
from typing import Any

import numpy as np
from PIL import Image, ImageEnhance

Example = dict[str, Any]

ASPECT_RATIO = (3 / 4, 4 / 3)


@dataclasses.dataclass(frozen=True)
class Augmentation:
    """How strongly training images are changed; the defaults are DomainBed's.

    Attributes:
      smallest_crop: the least share of the image's area that a crop keeps.
      jitter: brightness, contrast and saturation are multiplied by up to 1 plus or minus this.
      hue: the colour circle is turned by up to this share of a full turn, either way.
      grey: the probability of losing all colour.
    """

    smallest_crop: float = 0.7
    jitter: float = 0.3
    hue: float = 0.3
    grey: float = 0.1


def augment(example: Example, generator: np.random.Generator, size: int, strength: Augmentation) -> Example:
    """A training example: crop and flip hit `image` [h w 3] and `mask` [h w 1] (if there) alike, colours the image.

    Args:
      example: uint8 pixels of any size, and other fields, which pass unchanged.
      generator: seeded by the pipeline from (seed, index of the draw).
      size: side of the square result, in pixels.
      strength: how strongly.
    """
    image = Image.fromarray(example["image"])
    box = _random_box(generator, *image.size, strength.smallest_crop)
    flip = generator.random() < 0.5
    changed = {"image": np.asarray(_colour(_crop(image, box, flip, size), generator, strength))}
    if "mask" in example:
        changed["mask"] = np.asarray(_crop(Image.fromarray(example["mask"][..., 0]), box, flip, size))[..., None]
    return example | changed


def resize(example: Example, size: int) -> Example:
    """An evaluation example: `image` and `mask` (if there) resized to `size` x `size`, nothing else."""
    changed = {}
    if example["image"].shape[:2] != (size, size):
        changed["image"] = np.asarray(Image.fromarray(example["image"]).resize((size, size), Image.Resampling.BILINEAR))
        if "mask" in example:
            mask = Image.fromarray(example["mask"][..., 0]).resize((size, size), Image.Resampling.BILINEAR)
            changed["mask"] = np.asarray(mask)[..., None]
    return example | changed


def _random_box(
    generator: np.random.Generator, width: int, height: int, smallest: float
) -> tuple[float, float, float, float]:
    """Left, upper, right, lower of a crop with the drawn area and aspect ratio; the whole image if none fits."""
    for _ in range(10):
        area = width * height * generator.uniform(smallest, 1)
        ratio = math.exp(generator.uniform(math.log(ASPECT_RATIO[0]), math.log(ASPECT_RATIO[1])))
        crop_width, crop_height = math.sqrt(area * ratio), math.sqrt(area / ratio)
        if crop_width <= width and crop_height <= height:
            left = generator.uniform(0, width - crop_width)
            upper = generator.uniform(0, height - crop_height)
            return left, upper, left + crop_width, upper + crop_height
    return 0.0, 0.0, float(width), float(height)


def _crop(image: Image.Image, box: tuple[float, float, float, float], flip: bool, size: int) -> Image.Image:
    image = image.resize((size, size), Image.Resampling.BILINEAR, box=box)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image


def _colour(image: Image.Image, generator: np.random.Generator, strength: Augmentation) -> Image.Image:
    brightness, contrast, saturation = generator.uniform(1 - strength.jitter, 1 + strength.jitter, 3)
    hue, grey = generator.uniform(-strength.hue, strength.hue), generator.random() < strength.grey
    for change in generator.permutation(4):
        if change == 0:
            image = ImageEnhance.Brightness(image).enhance(brightness)
        elif change == 1:
            image = ImageEnhance.Contrast(image).enhance(contrast)
        elif change == 2:
            image = ImageEnhance.Color(image).enhance(saturation)
        else:
            image = _rotate_hue(image, hue)
    return image.convert("L").convert("RGB") if grey else image


def _rotate_hue(image: Image.Image, turn: float) -> Image.Image:
    """Hue moved by `turn` full turns of the colour circle."""
    hue, saturation, value = image.convert("HSV").split()
    rotated = Image.fromarray(np.asarray(hue) + np.uint8(round(turn * 255) % 256))
    return Image.merge("HSV", (rotated, saturation, value)).convert("RGB")
