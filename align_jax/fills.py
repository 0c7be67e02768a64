"""Fills: what replaces the removed pixels of an image.

Fills act on normalised images. `mean` is 0, the mean that the normalisation subtracts; `image_mean` is the image's own
mean, channel by channel; `blur` is the image after a Gaussian blur; `black` is the value of black pixels. `around` is
for holes: it fills them with what lies beside them.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from align_jax.data.normalise import CHANNEL_MEAN, CHANNEL_STANDARD_DEVIATION


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


def _image_mean(image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    return jnp.broadcast_to(image.mean(axis=(1, 2), keepdims=True), image.shape)


def _black(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    black = -jnp.array(CHANNEL_MEAN) / jnp.array(CHANNEL_STANDARD_DEVIATION)
    return jnp.broadcast_to(black.astype(image.dtype), image.shape)


FILLS: dict[str, Callable[[Array], Array]] = {
    "mean": jnp.zeros_like,
    "image_mean": _image_mean,
    "blur": gaussian_blur,
    "black": _black,
}
