"""Scales of a map: each map is brought to [0, 1] by itself, and flat maps become zeros with zero gradient."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

# A map whose range is below this share of its largest absolute value is flat: what differs is rounding. It becomes
# zeros, with zero gradient; otherwise the gradient of a nearly constant map would have no bound.
FLAT = 1e-6
# So does a map whose values are all below 2 to this power (1e-25), whose gradient float32 could not hold.
SMALLEST_EXPONENT = -83
# Maps are multiplied by 2 to minus this power at the least: devices take smaller numbers for zero.
LARGEST_EXPONENT = 126


def _on_unit_scale(saliency: Float[Array, "b h w"]) -> tuple[Float[Array, "b h w"], Float[Array, "b 1 1"]]:
    """The map times a power of two, which loses no digit, and its largest absolute value then: 0.5 to below 4.

    A smaller value is that of a map below `SMALLEST_EXPONENT`.
    """
    saliency = saliency.astype(jnp.float32)
    largest = jax.lax.stop_gradient(jnp.abs(saliency).max((1, 2), keepdims=True))
    exponent = jnp.clip(jnp.frexp(largest)[1], SMALLEST_EXPONENT, LARGEST_EXPONENT)
    factor = jnp.ldexp(jnp.float32(1), -exponent)
    return saliency * factor, largest * factor


def _highest(saliency: Float[Array, "b h w"], largest: Float[Array, "b 1 1"]) -> Float[Array, "b 1 1"]:
    """The maximum of each map. Cells that differ from it by rounding alone share its gradient.

    JAX's own gradient of a maximum divides by the number of cells that are equal to it. A compiler may compute a map
    once for the maximum and again for that count; where the two are rounded differently, the count is 0, and the
    gradient NaN.
    """
    highest = jax.lax.stop_gradient(saliency.max((1, 2), keepdims=True))
    reach_it = jax.lax.stop_gradient(saliency >= highest - FLAT * largest).astype(jnp.float32)
    share = reach_it / jnp.maximum(reach_it.sum((1, 2), keepdims=True), 1)
    return highest + (share * (saliency - jax.lax.stop_gradient(saliency))).sum((1, 2), keepdims=True)


def _divide_unless_flat(
    numerator: Float[Array, "b h w"], denominator: Float[Array, "b 1 1"], largest: Float[Array, "b 1 1"]
) -> Float[Array, "b h w"]:
    flat = (denominator < FLAT * largest) | (largest < 0.5)
    # The inner `where` keeps the unused branch finite: its gradient would otherwise be 0 * inf.
    return jnp.where(flat, 0.0, numerator / jnp.where(flat, 1.0, denominator))


def normalise_minmax(saliency: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """`(s - min s) / (max s - min s)` per map, in float32; flat maps become zeros with zero gradient.

    The scale of a map does not matter, from 1e-25 to the largest float32. The sources add 1e-8 to the divisor, which
    would hide maps as small as that.

    Source: as DRE, GRADIA, HAICS and RES; for ALIGN, decision of this project.
    """
    saliency, largest = _on_unit_scale(saliency)
    low = -_highest(-saliency, largest)
    return _divide_unless_flat(saliency - low, _highest(saliency, largest) - low, largest)


def normalise_max(saliency: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """`relu(s) / max relu(s)` per map, in float32; maps without a positive cell of 1e-25 or more become zeros.

    Neither its scale matters nor how negative its other cells are. Cells at or below zero get no gradient. For display
    and evaluation the map is upsampled first: see `display.shown`.

    Source: Selvaraju et al. 2017, eq. 2.
    """
    positive, largest = _on_unit_scale(jax.nn.relu(saliency))
    return _divide_unless_flat(positive, _highest(positive, largest), largest)


NORMALISATIONS: dict[str, Callable[[Float[Array, "b h w"]], Float[Array, "b h w"]]] = {
    "minmax": normalise_minmax,
    "max": normalise_max,
}
