"""How simple a map is: whether few pixels hold most of it. A sparse map is not a faithful one by itself."""

import jax.numpy as jnp
from jaxtyping import Array, Float, Shaped


def gini(saliency: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Gini index of |s|: 0 if all pixels are equal, 1 - 1/(h w) if one pixel holds everything.

        sum_i (2 i - n - 1) v_i / (n sum_i v_i),   v the n values of |s| in rising order, i = 1 ... n

    Args:
      saliency: maps at any resolution, on any scale.

    Returns:
      One value in [0, 1) per image; NaN for a map of zeros, or with a NaN.

    Source: Chalasani et al., Concise explanations of neural networks (ICML 2020), section 5.
    """
    rising = jnp.sort(_flat(saliency), axis=1)
    pixels = rising.shape[1]
    # The weights are divided first: float32 then holds them, however large the image.
    weight = (2 * jnp.arange(1, pixels + 1) - pixels - 1) / pixels
    return _per_total((rising * weight).sum(axis=1), rising)


def entropy(saliency: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Entropy of the shares v_i = |s_i| / sum |s|, in nats: 0 if one pixel holds everything, ln(h w) if all are equal.

        - sum_i v_i ln v_i

    Args, returns: as `gini`; the largest value is ln(h w).

    Source: Bhatt et al., Evaluating and aggregating feature-based model explanations (IJCAI 2020), section 3.3.
    """
    values = _flat(saliency)
    total = values.sum(axis=1, keepdims=True)
    share = values / jnp.where(total > 0, total, 1)
    found = -jnp.where(share > 0, share * jnp.log(jnp.where(share > 0, share, 1)), 0).sum(axis=1)
    return jnp.where(total[:, 0] > 0, found, jnp.nan)


def _flat(saliency: Shaped[Array, "b h w"]) -> Float[Array, "b n"]:
    if saliency.ndim != 3:
        raise ValueError(f"the map has the shape {list(saliency.shape)}: give a batch of maps, [b h w]")
    return jnp.abs(saliency.astype(jnp.float32)).reshape(len(saliency), -1)


def _per_total(values: Float[Array, " b"], magnitudes: Float[Array, "b n"]) -> Float[Array, " b"]:
    total = magnitudes.sum(axis=1)
    return jnp.where(total > 0, values / jnp.where(total > 0, total, 1), jnp.nan)
