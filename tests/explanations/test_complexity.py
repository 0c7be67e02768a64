import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.explanations import entropy, gini

from .small_network import ERASER

MAPS = jnp.asarray(ERASER["saliency/ig_abs_sum"], jnp.float32)


def test_gini_is_the_mean_difference_of_all_pairs():
    for s, value in zip(np.asarray(MAPS, np.float64).reshape(8, -1), gini(MAPS), strict=True):
        pairs = np.abs(s[:, None] - s[None]).mean()
        np.testing.assert_allclose(value, pairs / (2 * s.mean()), atol=1e-6)


def test_entropy_is_the_definition():
    for s, value in zip(np.asarray(MAPS, np.float64).reshape(8, -1), entropy(MAPS), strict=True):
        share = s[s > 0] / s.sum()
        np.testing.assert_allclose(value, -(share * np.log(share)).sum(), rtol=1e-6)


def test_one_pixel_equal_pixels_and_signs():
    one = jnp.zeros((1, 4, 5)).at[0, 2, 3].set(-7.0)
    np.testing.assert_allclose([gini(one)[0], entropy(one)[0]], [1 - 1 / 20, 0], atol=1e-6)
    equal = jnp.full((1, 4, 5), 1e-20)
    np.testing.assert_allclose([gini(equal)[0], entropy(equal)[0]], [0, np.log(20)], atol=5e-6)
    for metric in (gini, entropy):
        np.testing.assert_array_equal(metric(-MAPS), metric(MAPS))
        np.testing.assert_allclose(metric(64 * MAPS), metric(MAPS), rtol=1e-6)


@pytest.mark.parametrize("metric", [gini, entropy])
def test_zero_and_nan_maps_have_no_score(metric):
    assert np.isnan(metric(jnp.zeros((2, 4, 5)))).all()
    assert np.isnan(metric(MAPS.at[3, 1, 1].set(jnp.nan))).tolist() == [number == 3 for number in range(8)]


def test_a_large_map_keeps_its_digits():
    s = np.random.default_rng(0).random((1, 512, 512))
    flat = np.sort(s.ravel())
    expected = ((2 * np.arange(1, flat.size + 1) - flat.size - 1) * flat).sum() / (flat.size * flat.sum())
    np.testing.assert_allclose(gini(jnp.asarray(s, jnp.float32)), expected, rtol=2e-6)
