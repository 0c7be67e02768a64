"""From an attribution of every channel of an image to a map."""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float


def _norm(attribution: Float[Array, "*b h w c"]) -> Float[Array, "*b h w"]:
    """The Euclidean norm, whose gradient at 0 is 0."""
    squares = (attribution**2).sum(-1)
    return jnp.where(squares > 0, jnp.sqrt(jnp.where(squares > 0, squares, 1.0)), squares)


CHANNEL_RULES: dict[str, Callable[[Array], Array]] = {
    "sum": lambda attribution: attribution.sum(-1),
    "sum_abs": lambda attribution: jnp.abs(attribution).sum(-1),
    "max_abs": lambda attribution: jnp.abs(attribution).max(-1),
    "norm": _norm,
}


def over_channels(attribution: Float[Array, "*b h w c"], rule: str) -> Float[Array, "*b h w"]:
    """One value a pixel, from one value for each of its channels, in float32.

    Args:
      attribution: of a gradient method.
      rule: `sum`, which keeps the sign, so that pixels still sum to what Integrated Gradients distributes; or how large
        it is whatever its sign: `sum_abs`, `norm` (Euclidean), or `max_abs`, as Simonyan et al. show gradients.

    Raises:
      ValueError: an unknown rule.

    Source: Simonyan et al. 2014, "Deep Inside Convolutional Networks", section 3.1 (max_abs).
    """
    if rule not in CHANNEL_RULES:
        raise ValueError(f"unknown rule {rule!r} for channels: choose one of {', '.join(CHANNEL_RULES)}")
    return CHANNEL_RULES[rule](attribution.astype(jnp.float32))
