"""A raw map as it is shown and evaluated: at the image's resolution, in [0, 1]."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.saliency.grid import upsample
from align_jax.saliency.normalise import normalise_max


def shown(cam: Float[Array, "*b u v"], height: int, width: int) -> Float[Array, "*b {height} {width}"]:
    """`up(relu(s)) / max up(relu(s))` per map, in float32, with `up` the bilinear interpolation of `grid.upsample`.

    The division comes last, since interpolation lowers the maximum: so the largest pixel shown is 1. Ranks of pixels do
    not depend on it. A map without a positive cell (see `normalise_max`) becomes zeros, and NaN stays NaN.

    Args:
      cam: raw maps on a layer's grid; any axes before the grid's, such as images and classes.
      height, width: the image's.

    Source: Selvaraju et al. 2017, eq. 2, and section 3 for the interpolation.
    """
    positive = jax.nn.relu(cam.astype(jnp.float32)).reshape(-1, *cam.shape[-2:])
    return normalise_max(upsample(positive, height, width)).reshape(*cam.shape[:-2], height, width)
