"""Occlusion: how far the score falls when a window of the image is covered. It needs forward passes alone."""

import math

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Bool, Float, Int

from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.passes import summed
from align_jax.saliency.targets import Classes, Target, each_class
from align_jax.saliency.versions import Model, fixed_target, outputs_of, scores

Size = int | tuple[int, int]


def occlusion(
    model: Model,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    window: Size | None = None,
    stride: Size | None = None,
    fill: Fill = "zero",
    preprocessing: Preprocessing | None = None,
    chunk: int = 1,
) -> Float[Array, "b *m h w"]:
    """The mean, over the windows W that cover a pixel, of `score(x) - score(x with W filled)`.

    Windows lie at multiples of the stride. The last ones of a row or column may reach beyond the image, so that every
    pixel is covered.

    Costs one forward pass for each window, whatever the number of classes, one for the clean score, and one to find the
    predicted class.

    Args:
      model: image -> outputs, or a cut.
      image: normalised.
      target: the class whose output is explained, or another number of the outputs (see `targets`).
      window: its height and width in pixels; one number for both. By default an eighth of the shorter side.
      stride: from window to window; by default half of the window.
      fill: what covers the image: see `fills.filled`.
      preprocessing: how the images were normalised, for fills that need it.
      chunk: how many windows, each on all images, go through the model at once.

    Returns:
      The map in float32, signed; m of them an image if the target has m classes an image.

    Raises:
      ValueError: a window that does not fit into the image, a stride that leaves pixels uncovered, an unknown fill, a
        chunk below 1, or a target as in `gradient`.
      TypeError: as `gradient`.

    Source: Zeiler and Fergus 2014, section 4.2; overlaps averaged: captum's Occlusion.
    """
    fixed = fixed_target(model, image, target)
    height, width = image.shape[1:3]
    size, step = _size_and_step(window, stride, height, width)
    rows, columns = (_starts(*sides) for sides in zip((height, width), size, step, strict=True))
    starts = np.stack(np.meshgrid(rows, columns, indexing="ij"), -1).reshape(-1, 2)
    covering = np.outer(_covering(rows, size[0], height), _covering(columns, size[1], width))
    covered = filled(image, fill, preprocessing)

    def of_class(classes: Classes) -> Float[Array, "b h w"]:
        clean = scores(model, image[None], classes)

        def part(starts: Int[Array, "j 2"]) -> Float[Array, "b h w"]:
            inside = _windows(starts, size, height, width)
            falls = clean - scores(model, jnp.where(inside[:, None, :, :, None], covered, image), classes)
            return jnp.einsum("jb,jhw->bhw", falls, inside.astype(jnp.float32), precision="highest")

        return summed(part, starts, chunk) / covering.astype(np.float32)

    return each_class(of_class, fixed, lambda: outputs_of(model, image))


def _size_and_step(
    window: Size | None, stride: Size | None, height: int, width: int
) -> tuple[tuple[int, int], tuple[int, int]]:
    size = _pair(max(1, min(height, width) // 8) if window is None else window)
    step = (max(1, size[0] // 2), max(1, size[1] // 2)) if stride is None else _pair(stride)
    if not all(1 <= side <= whole for side, whole in zip(size, (height, width), strict=True)):
        raise ValueError(f"a window of {size} does not fit into an image of {(height, width)} pixels")
    if not all(1 <= s <= side for s, side in zip(step, size, strict=True)):
        raise ValueError(f"a stride of {step} misses pixels with a window of {size}: give 1 to the window's size")
    return size, step


def _pair(size: Size) -> tuple[int, int]:
    return (size, size) if isinstance(size, int) else size


def _starts(whole: int, side: int, step: int) -> np.ndarray:
    return np.arange(math.ceil((whole - side) / step) + 1) * step


def _covering(starts: np.ndarray, side: int, whole: int) -> np.ndarray:
    """How many of the windows lie over each row."""
    pixel = np.arange(whole)[:, None]
    return ((pixel >= starts) & (pixel < starts + side)).sum(1)


def _windows(starts: Int[Array, "j 2"], size: tuple[int, int], height: int, width: int) -> Bool[Array, "j h w"]:
    row, column = starts[:, :1], starts[:, 1:]
    rows, columns = jnp.arange(height), jnp.arange(width)
    inside_rows = (rows >= row) & (rows < row + size[0])
    inside_columns = (columns >= column) & (columns < column + size[1])
    return inside_rows[:, :, None] & inside_columns[:, None]
