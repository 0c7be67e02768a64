"""What stands where something is removed from an image: the fill decides what "removed" means."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.explanations.faithfulness import gaussian_blur

Image = Float[Array, "b h w c"]
FILLS: dict[str, Callable[[Image], Image]] = {
    "mean": jnp.zeros_like,
    "blur": gaussian_blur,
}
