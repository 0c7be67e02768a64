"""Max-pooling as shifted maxima on CPUs, where XLA's gradient of it takes as long as several convolutions."""

import functools
import itertools

import jax
import jax.numpy as jnp
from flax import linen as nn
from jaxtyping import Array, Float, UInt8


def max_pool(x: Float[Array, "b h w c"], side: int, stride: int, padding: int) -> Float[Array, "b u v c"]:
    """The maximum of each window; outside of the map is minus infinity.

    The gradient goes to the first of a window's largest values, row by row, and a NaN stays one, on every platform.
    Which of the two programs runs is decided when it is lowered, as for convolutions.

    Args:
      x: a map.
      side: of the windows, at most 15.
      stride: from window to window.
      padding: on each side of the map, less than `side`.
    """

    def native(x: Array) -> Array:
        pooled: Array = nn.max_pool(x, (side, side), (stride, stride), ((padding, padding), (padding, padding)))
        return pooled

    shifted = functools.partial(_shifted, side=side, stride=stride, padding=padding)
    result: Array = jax.lax.platform_dependent(x, cpu=shifted, default=native)
    return result


@functools.partial(jax.custom_jvp, nondiff_argnums=(1, 2, 3))
def _shifted(x: Array, side: int, stride: int, padding: int) -> Array:
    return _largest(_places(x, side, stride, padding, -jnp.inf))[0]


@_shifted.defjvp
def _shifted_jvp(
    side: int, stride: int, padding: int, primals: tuple[Array], tangents: tuple[Array]
) -> tuple[Array, Array]:
    best, number = _largest(_places(primals[0], side, stride, padding, -jnp.inf))
    # Kept as a byte for each window. Otherwise XLA finds it again for each place that the gradient may go to.
    number = jax.lax.optimization_barrier(number)
    return best, jax.lax.select_n(number.astype(jnp.int32), *_places(tangents[0], side, stride, padding, 0.0))


def _places(x: Array, side: int, stride: int, padding: int, outside: float) -> list[Array]:
    """The first, second, ... place of all windows, row by row."""
    around = ((0, 0), (padding, padding), (padding, padding), (0, 0))
    padded = jnp.pad(x, around, constant_values=outside)
    rows, columns = ((length - side) // stride * stride + 1 for length in padded.shape[1:3])
    return [
        padded[:, down : down + rows : stride, right : right + columns : stride]
        for down, right in itertools.product(range(side), repeat=2)
    ]


def _largest(places: list[Array]) -> tuple[Float[Array, "b u v c"], UInt8[Array, "b u v c"]]:
    """The largest value, and the number of the first place that has it."""
    best, number = places[0], jnp.zeros(places[0].shape, jnp.uint8)
    for place, seen in enumerate(places[1:], start=1):
        # What is larger, or no number at all, replaces what was the largest before.
        better = (seen > best) | jnp.isnan(seen)
        best, number = jnp.where(better, seen, best), jnp.where(better, jnp.uint8(place), number)
    return best, number
