import jax
import jax.numpy as jnp
import numpy as np

from align_jax.explanations import Mean, mean

VALUES = jnp.array([0.5, jnp.nan, 2.0, -1.0, jnp.nan, 4.0])


def test_nan_is_counted_apart_and_padding_nowhere():
    found = mean(VALUES, jnp.array([True, True, True, True, False, False]))
    assert (float(found.total), int(found.count), int(found.undefined)) == (1.5, 3, 1)
    assert found.value == 0.5
    assert np.isnan(mean(VALUES[1:2]).value)


def test_means_merge():
    whole = mean(VALUES)
    parts = [mean(VALUES[:2]), mean(VALUES[2:3]), mean(VALUES[3:])]
    merged = parts[0].merge(parts[1]).merge(parts[2])
    assert jax.tree.leaves(merged) == jax.tree.leaves(whole)
    assert isinstance(jax.jit(mean)(VALUES), Mean)
