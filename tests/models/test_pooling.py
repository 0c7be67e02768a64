"""Max-pooling equals Flax's, in value and gradient, with ties and NaN."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import linen as nn

from align_jax.models.pooling import max_pool


def of_flax(x, side, stride, padding):
    return nn.max_pool(x, (side, side), (stride, stride), ((padding, padding), (padding, padding)))


@pytest.mark.parametrize("window", [(3, 2, 1), (2, 2, 0), (3, 1, 1)])
def test_values_and_gradients_with_ties(window):
    # Few different values, most of them 0 as behind a ReLU: almost every window has several largest places.
    x = jax.nn.relu(jnp.round(2 * jnp.sin(1.7 * jnp.arange(2 * 9 * 8 * 3.0) ** 1.5))).reshape(2, 9, 8, 3)

    def both(pool):
        value, back = jax.vjp(lambda x: pool(x, *window), x)
        return value, back(jnp.cos(jnp.arange(float(value.size))).reshape(value.shape))[0]

    jax.tree.map(
        np.testing.assert_array_equal, *(jax.jit(lambda pool=pool: both(pool))() for pool in (max_pool, of_flax))
    )


def test_forward_and_second_derivatives():
    x = jnp.sin(1.7 * jnp.arange(1 * 6 * 6 * 2.0) ** 1.5).reshape(1, 6, 6, 2)

    def curved(pool):
        loss = lambda x: (pool(x, 3, 2, 1) ** 3).sum()  # noqa: E731
        return jax.jvp(jax.grad(loss), (x,), (x**2,))[1], jax.grad(lambda x: (jax.grad(loss)(x) ** 2).sum())(x)

    found, expected = (jax.jit(lambda pool=pool: curved(pool))() for pool in (max_pool, of_flax))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-6), found, expected)


@pytest.mark.parametrize("place", [0, 7, 15])
def test_a_nan_stays(place):
    x = jnp.arange(16.0).at[place].set(jnp.nan).reshape(1, 4, 4, 1)
    np.testing.assert_array_equal(jax.jit(max_pool, static_argnums=(1, 2, 3))(x, 3, 2, 1), of_flax(x, 3, 2, 1))
