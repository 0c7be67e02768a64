"""RISE: the mean of random masks, each weighted by the score of the image seen through it. Forward passes alone."""

import functools
import math
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.passes import summed
from align_jax.saliency.targets import Classes, Target, each_class
from align_jax.saliency.versions import Model, fixed_target, outputs_of, scores


def rise(
    model: Model,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    key: Key[Array, ""],
    samples: int = 4000,
    grid: int = 7,
    share: float = 0.5,
    fill: Fill = "zero",
    preprocessing: Preprocessing | None = None,
    chunk: int = 1,
) -> Float[Array, "b *m h w"]:
    """`1 / (n p) sum_i score(m_i x + (1 - m_i) fill) m_i`, with random masks m_i of mean p.

    A mask is a small grid of zeros and ones, interpolated bilinearly to a little more than the image, and cut out at a
    random place. Masks are drawn inside of the loop, so that memory does not grow with n. They are the same for all
    images of a batch: an image's map does not depend on the batch it is in.

    The paper's score is the probability: give a model that returns it. The map estimates the score, given that a pixel
    is shown; so it is positive all over, and only its differences speak.

    Costs n forward passes, whatever the number of classes, and one to find the predicted class.

    Args:
      model: image -> outputs, or a cut.
      image: normalised.
      target: the class whose output is explained, or another number of the outputs (see `targets`).
      key: the masks'.
      samples: n.
      grid: the grid's cells, along a side.
      share: p, the probability that a cell of the grid is shown.
      fill: what hides the image: see `fills.filled`.
      preprocessing: how the images were normalised, for fills that need it.
      chunk: how many masks, each on all images, go through the model at once.

    Returns:
      The map in float32; m of them an image if the target has m classes an image.

    Raises:
      ValueError: fewer than 1 sample or cell, a share outside (0, 1], an unknown fill, a chunk below 1, or a target as
        in `gradient`.
      TypeError: as `gradient`.

    Source: Petsiuk et al. 2018, "RISE", eq. 6 and section 3.2.
    """
    if samples < 1 or grid < 1:
        raise ValueError(f"samples {samples} and grid {grid} must be 1 or more, such as 4000 and 7")
    height, width = image.shape[1:3]

    def draw(numbers: Int[Array, " j"]) -> Float[Array, "j h w"]:
        return _masks(key, numbers, share, grid=grid, height=height, width=width)

    hidden = filled(image.astype(jnp.float32), fill, preprocessing)
    return _weighted_masks(model, image, target, draw, np.arange(samples), share, hidden, chunk)


def rise_of_masks(
    model: Model,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    masks: Float[Array, "n ..."],
    share: float = 0.5,
    fill: Fill = "zero",
    preprocessing: Preprocessing | None = None,
    chunk: int = 1,
) -> Float[Array, "b *m h w"]:
    """`rise` with masks [n h w] that are given, in [0, 1]; 1 shows the image, and `share` is their mean p.

    Arguments, costs and errors as there, and a ValueError for masks of another size than the images.
    """
    if masks.shape[1:] != image.shape[1:3]:
        raise ValueError(f"masks of shape {list(masks.shape)} do not fit images of shape {list(image.shape)}")
    hidden = filled(image.astype(jnp.float32), fill, preprocessing)
    return _weighted_masks(model, image, target, lambda masks: masks, masks, share, hidden, chunk)


def _weighted_masks(
    model: Model,
    image: Float[Array, "b h w c"],
    target: Target,
    draw: Callable[[Array], Float[Array, "j h w"]],
    items: Array | np.ndarray,
    share: float,
    hidden: Float[Array, "b h w c"],
    chunk: int,
) -> Float[Array, "b *m h w"]:
    if not 0 < share <= 1:
        raise ValueError(f"share {share} must lie in (0, 1]; 0.5 is the default")
    fixed = fixed_target(model, image, target)

    def of_class(classes: Classes) -> Float[Array, "b h w"]:
        def part(items: Array) -> Float[Array, "b h w"]:
            masks = draw(items)
            through = masks[:, None, :, :, None]
            versions = (through * image + (1 - through) * hidden).astype(image.dtype)
            return jnp.einsum("jb,jhw->bhw", scores(model, versions, classes), masks, precision="highest")

        return summed(part, items, chunk) / (len(items) * share)

    return each_class(of_class, fixed, lambda: outputs_of(model, image))


# Compiled by itself: outside of `jax.jit`, a mask would be a dozen programs.
@functools.partial(jax.jit, static_argnames=("grid", "height", "width"))
def _masks(
    key: Key[Array, ""],
    numbers: Int[Array, " j"],
    share: float | Float[Array, ""],
    *,
    grid: int,
    height: int,
    width: int,
) -> Float[Array, "j {height} {width}"]:
    """Masks whose mean is `share` at every pixel, since interpolation takes means of cells."""
    cell = math.ceil(height / grid), math.ceil(width / grid)

    def mask(number: Int[Array, ""]) -> Float[Array, "h w"]:
        cells, shift_rows, shift_columns = jax.random.split(jax.random.fold_in(key, number), 3)
        small = jax.random.bernoulli(cells, share, (grid, grid)).astype(jnp.float32)
        large = jax.image.resize(small, ((grid + 1) * cell[0], (grid + 1) * cell[1]), "bilinear")
        start = (jax.random.randint(shift_rows, (), 0, cell[0]), jax.random.randint(shift_columns, (), 0, cell[1]))
        return jax.lax.dynamic_slice(large, start, (height, width))

    return jax.vmap(mask)(numbers)
