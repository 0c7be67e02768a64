"""Fills: what replaces the removed pixels of an image.

By name: `zero` is 0, whatever that means to the model; `mean` is the mean that the normalisation subtracts, and so 0,
too; `image_mean` is the image's own mean, channel by channel; `blur` is the image after a Gaussian blur; `black` is the
value of black pixels. A fill may also be a colour, an array or a function (`filled`). `around` is for holes: it fills
them with what lies beside them.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from align_jax.preprocessing import IMAGENET, Preprocessing

Fill = str | Float[Array, " c"] | Float[Array, "b h w c"] | Callable[[Array], Array]


def gaussian_blur(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """A Gaussian blur that looks the same at every resolution.

    The standard deviation is an eighth of the shorter side (28 pixels at 224). The kernel ends at four standard
    deviations, and the image is mirrored at its border, with the edge pixel repeated. One matrix blurs the rows and one
    the columns: for so wide a kernel that is cheaper than a convolution, and the border costs nothing.
    """
    return _blurred(image.astype(jnp.float32), min(image.shape[1:3]) / 8).astype(image.dtype)


def around(image: Float[Array, "b h w c"], hole: Float[Array, "b h w 1"]) -> Float[Array, "b h w c"]:
    """The image with its hole filled in from around it.

    In the hole, each pixel becomes the Gaussian mean of the pixels outside of it, `G[(1 - H) x] / G[1 - H]`; elsewhere
    the image stays as it is. The standard deviation is 3/32 of the shorter side (6 pixels at 64). Far from the hole's
    rim nothing is near enough to say what to fill in, and the value goes to 0, the mean.

    Args:
      image: normalised.
      hole: 1 where the image is to be filled in, 0 elsewhere; or between them.
    """
    sigma = min(image.shape[1:3]) * 3 / 32
    outside = 1 - hole.astype(jnp.float32)
    weight = _blurred(outside, sigma)
    filled = _blurred(outside * image.astype(jnp.float32), sigma) / jnp.maximum(weight, 1e-3)
    return (outside * image + (1 - outside) * filled).astype(image.dtype)


def _blurred(image: Float[Array, "b h w c"], sigma: float) -> Float[Array, "b h w c"]:
    height, width = image.shape[1:3]
    return jnp.einsum(
        "yh,xw,bhwc->byxc",
        _gaussian_matrix(height, sigma),
        _gaussian_matrix(width, sigma),
        image,
        precision=jax.lax.Precision.HIGHEST,
    )


def _gaussian_matrix(size: int, sigma: float) -> np.ndarray:
    """[size size]: row i holds the weights of all pixels in the blurred pixel i."""
    radius = int(4 * sigma + 0.5)
    offset = np.arange(-radius, radius + 1)
    weight = np.exp(-0.5 * (offset / sigma) ** 2)
    source = (np.arange(size)[:, None] + offset) % (2 * size)
    source = np.where(source < size, source, 2 * size - 1 - source)
    matrix = np.zeros((size, size))
    np.add.at(matrix, (np.arange(size)[:, None], source), weight / weight.sum())
    return matrix.astype(np.float32)


def filled(
    image: Float[Array, "b h w c"], fill: Fill, preprocessing: Preprocessing | None = None
) -> Float[Array, "b h w c"]:
    """The images of what replaces removed pixels.

    Args:
      image: as the model sees it.
      fill: one of `NAMES`; a colour [c], in the image's values; an array [h w c], or like the images; or a function
        image -> image.
      preprocessing: how the image was normalised. `mean` and `black` need it; nothing is assumed of a model.

    Raises:
      ValueError: an unknown name, a name that needs `preprocessing` without it, or a shape that does not fit.
    """
    if callable(fill):
        result = fill(image)
    elif isinstance(fill, str):
        if fill not in NAMES:
            raise ValueError(
                f"unknown fill {fill!r}: choose one of {', '.join(NAMES)}, a colour [c], an array, or a function"
            )
        if preprocessing is None and fill in COLOURS:
            raise ValueError(
                f"the fill {fill!r} depends on how images were normalised: give preprocessing=Preprocessing(mean, "
                "std), a colour [c] in the image's values, or another fill, such as 'image_mean' or 'blur'"
            )
        result = _named(image, fill, preprocessing)
    else:
        result = jnp.asarray(fill)
        if result.shape in (image.shape[-1:], image.shape[1:]):
            result = jnp.broadcast_to(result, image.shape)
    if result.shape != image.shape:
        raise ValueError(
            f"a fill of shape {list(result.shape)} does not fit images of shape {list(image.shape)}: give a colour "
            f"[{image.shape[-1]}], or an array like the images"
        )
    return result.astype(image.dtype)


# These need the normalisation; the others are computed from the image.
COLOURS = ("mean", "black")
NAMES = ("zero", "mean", "image_mean", "blur", "black")


def _named(image: Float[Array, "b h w c"], name: str, preprocessing: Preprocessing | None) -> Float[Array, "b h w c"]:
    if name == "zero":
        return jnp.zeros_like(image)
    if name == "blur":
        return gaussian_blur(image)
    if name == "image_mean":
        return jnp.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)
    assert preprocessing is not None
    preprocessing.channels(image)  # refuses another number of them
    if name == "mean":
        return jnp.zeros_like(image)
    return jnp.broadcast_to(preprocessing.black().astype(image.dtype), image.shape)


# The fills by name, for images that are normalised as this library's data sets are.
FILLS: dict[str, Callable[[Array], Array]] = {
    name: functools.partial(filled, fill=name, preprocessing=IMAGENET) for name in NAMES if name != "zero"
}
