import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import explanations
from align_jax.explanations.soft import correlation
from align_jax.preprocessing import IMAGENET

from .small_network import ERASER, IMAGE, PREDICTED, probabilities

ENTRIES = {"mean": "zero", "image_mean": "mean", "blur": "blur"}
MAPS = jnp.asarray(ERASER["saliency/gradcam"], jnp.float32)


@pytest.mark.parametrize("fill", ENTRIES)
@pytest.mark.parametrize("name", ["gradcam", "ig_abs_sum", "random"])
def test_reference_values(name, fill):
    maps = jnp.asarray(ERASER[f"saliency/{name}"], jnp.float32)
    masked = explanations.mask(probabilities, IMAGE, maps, fill=fill, preprocessing=IMAGENET)
    reference = f"{name}/{ENTRIES[fill]}"
    for metric, entry in (
        (explanations.soft_comprehensiveness, "soft_comp_pred"),
        (explanations.soft_sufficiency, "soft_suff_pred"),
    ):
        np.testing.assert_allclose(metric(masked), ERASER[f"{reference}/{entry}"], atol=1e-6)


def in_numpy(maps):
    """p of the image and of the masked image, through the network, with the arithmetic around it in float64."""
    every = np.arange(8)
    masked = jnp.asarray(np.asarray(IMAGE, np.float64) * np.asarray(maps, np.float64)[..., None], jnp.float32)
    return (np.asarray(probabilities(x), np.float64)[every, PREDICTED] for x in (IMAGE, masked))


def test_average_drop_and_increase_are_their_definitions():
    masked = explanations.mask(probabilities, IMAGE, MAPS, fill=jnp.zeros(3))
    p, kept = in_numpy(MAPS)
    np.testing.assert_allclose(explanations.average_drop(masked), np.maximum(p - kept, 0) / p, atol=1e-6)
    np.testing.assert_array_equal(explanations.increase(masked), kept > p)
    some = explanations.Masked(jnp.array([0.5, 0.5, 0.0, 0.5]), jnp.array([0.6, 0.4, 0.0, jnp.nan]), jnp.zeros(4))
    np.testing.assert_array_equal(explanations.increase(some), [1, 0, 0, np.nan])
    np.testing.assert_allclose(explanations.average_drop(some), [0, 0.2, 0, np.nan], atol=1e-6)


def test_adcc_is_its_definition():
    of_kept = jnp.asarray(ERASER["saliency/ig_abs_sum"], jnp.float32)
    masked = explanations.mask(probabilities, IMAGE, MAPS, fill=jnp.zeros(3))
    found = explanations.adcc(masked, MAPS, of_kept)
    p, kept = in_numpy(MAPS)
    for number, (s, t) in enumerate(zip(np.asarray(MAPS, float), np.asarray(of_kept, float), strict=True)):
        coherency = (1 + np.corrcoef(s.ravel(), t.ravel())[0, 1]) / 2
        drop = max(p[number] - kept[number], 0) / p[number]
        expected = 3 / (1 / coherency + 1 / (1 - s.mean()) + 1 / (1 - drop))
        np.testing.assert_allclose([part[number] for part in found], [expected, coherency, s.mean(), drop], atol=5e-6)


def test_a_part_that_is_zero_makes_adcc_zero_and_a_map_without_order_none():
    masked = explanations.Masked(jnp.full(3, 0.5), jnp.array([0.5, 0.0, 0.5]), jnp.zeros(3))
    maps = jnp.linspace(0, 1, 12).reshape(1, 3, 4)
    adcc = explanations.adcc(masked, jnp.concatenate([maps] * 3), jnp.concatenate([maps, maps, 0 * maps])).adcc
    np.testing.assert_allclose(adcc, [3 / (1 + 1 / 0.5 + 1), 0, np.nan], rtol=1e-6)


def test_maps_without_order_have_no_score():
    with pytest.raises(ValueError, match=r"maps with values from 0 to 2 do not lie in \[0, 1\]"):
        explanations.mask(probabilities, IMAGE, 2 * MAPS, fill="blur")
    for level in (0.0, 1.0, jnp.nan):
        masked = explanations.mask(probabilities, IMAGE, jnp.full_like(MAPS, level), fill="blur")
        for metric in (explanations.average_drop, explanations.increase, explanations.soft_sufficiency):
            assert np.isnan(metric(masked)).all()


def test_correlation_of_maps():
    first, second = jax.random.normal(jax.random.key(0), (2, 5, 4, 6)) * 1e4 + 3
    expected = [np.corrcoef(a.ravel(), b.ravel())[0, 1] for a, b in zip(first, second, strict=True)]
    np.testing.assert_allclose(correlation(first, second), expected, atol=1e-5)
    assert np.isnan(correlation(first, jnp.ones_like(second))).all()
    for scale in (1e-35, 1e-20, 1e20, 1e33):
        np.testing.assert_allclose(correlation(first / 3e4 * scale, second), expected, atol=1e-5)
