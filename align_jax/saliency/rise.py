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
    key: Key[Array, ""] | None = None,
    samples: int = 4000,
    grid: int = 7,
    share: float = 0.5,
    masks: Float[Array, "n ..."] | None = None,
    fill: Fill = "zero",
    preprocessing: Preprocessing | None = None,
    chunk: int = 1,
) -> Float[Array, "b *m h w"]:
    """`1 / (n p) sum_i score(m_i x + (1 - m_i) fill) m_i`, with random masks m_i of mean p.

    Masks are drawn inside of the loop, so that memory does not grow with n. They are the same for all images of a
    batch: an image's map does not depend on the batch it is in.

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
      share: p, the probability that a cell of the grid is shown; the mean of the masks, if they are given.
      masks: the masks themselves, [n h w] in [0, 1] where 1 shows the image, in place of a key, samples and a grid.
      fill: what hides the image: see `fills.filled`.
      preprocessing: how the images were normalised, for fills that need it.
      chunk: how many masks, each on all images, go through the model at once.

    Returns:
      The map in float32; m of them an image if the target has m classes an image.

    Raises:
      ValueError: neither key nor masks or both of them, masks of another size than the images, fewer than 1 sample or
        cell, a share outside (0, 1], an unknown fill, a chunk below 1, or a target as in `gradient`.
      TypeError: as `gradient`.

    Source: Petsiuk et al. 2018, "RISE", eq. 6 and section 3.2.
    """
    draw, items = _drawn(image, key, samples, grid, share, masks)
    hidden = filled(image.astype(jnp.float32), fill, preprocessing)

    def of_class(classes: Classes) -> Float[Array, "b h w"]:
        def part(items: Array) -> Float[Array, "b h w"]:
            masks = draw(items)
            through = masks[:, None, :, :, None]
            versions = (through * image + (1 - through) * hidden).astype(image.dtype)
            return jnp.einsum("jb,jhw->bhw", scores(model, versions, classes), masks, precision="highest")

        return summed(part, items, chunk) / (len(items) * share)

    return each_class(of_class, fixed_target(model, image, target), lambda: outputs_of(model, image))


def _drawn(
    image: Float[Array, "b h w c"],
    key: Key[Array, ""] | None,
    samples: int,
    grid: int,
    share: float,
    masks: Float[Array, "n ..."] | None,
) -> tuple[Callable[[Array], Float[Array, "j h w"]], Array | np.ndarray]:
    """A few masks, and what they are made from: numbers of samples, or the masks themselves."""
    if not 0 < share <= 1:
        raise ValueError(f"share {share} must lie in (0, 1]; 0.5 is the default")
    height, width = image.shape[1:3]
    if masks is not None and key is None:
        if masks.shape[1:] != (height, width):
            raise ValueError(f"masks of shape {list(masks.shape)} do not fit images of shape {list(image.shape)}")
        return (lambda masks: masks), masks
    if key is None or masks is not None:
        raise ValueError("the masks are drawn from a key, or given: give one of key=jax.random.key(0) and masks=")
    if samples < 1 or grid < 1:
        raise ValueError(f"samples {samples} and grid {grid} must be 1 or more, such as 4000 and 7")
    return lambda numbers: _masks(key, numbers, share, grid=grid, height=height, width=width), np.arange(samples)


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
    """Small grids of zeros and ones, interpolated bilinearly to a little more than the image, and cut out at random.

    Their mean is `share` at every pixel, since interpolation takes means of cells.
    """
    cell = math.ceil(height / grid), math.ceil(width / grid)

    def mask(number: Int[Array, ""]) -> Float[Array, "h w"]:
        cells, shift_rows, shift_columns = jax.random.split(jax.random.fold_in(key, number), 3)
        small = jax.random.bernoulli(cells, share, (grid, grid)).astype(jnp.float32)
        large = jax.image.resize(small, ((grid + 1) * cell[0], (grid + 1) * cell[1]), "bilinear")
        start = (jax.random.randint(shift_rows, (), 0, cell[0]), jax.random.randint(shift_columns, (), 0, cell[1]))
        return jax.lax.dynamic_slice(large, start, (height, width))

    return jax.vmap(mask)(numbers)
