"""Composites: what a mask keeps of one image, over the background of another."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from align_jax.fills import around
from align_jax.swaps import HOLE_FILLS, background_of, pasted, sharpened, swap_partner

KEY = jax.random.key(0)


def a_hole(size=32):
    hole = np.zeros((1, size, size, 1), np.float32)
    hole[:, 10:20, 12:24] = 1
    return hole


def test_a_hole_becomes_the_gaussian_mean_of_what_lies_beside_it():
    image, hole = np.random.default_rng(0).normal(size=(1, 32, 32, 3)).astype(np.float32), a_hole()
    filled = np.asarray(around(jnp.asarray(image), jnp.asarray(hole)))

    def blurred(values):
        return gaussian_filter(values.astype(np.float64), (0, 3, 3, 0), mode="reflect", truncate=4.0)

    expected = blurred((1 - hole) * image) / blurred(1 - hole)
    np.testing.assert_allclose(filled[hole[..., 0] == 1], expected[hole[..., 0] == 1], atol=2e-4)
    np.testing.assert_array_equal(filled[hole[..., 0] == 0], image[hole[..., 0] == 0])


def test_a_filled_hole_does_not_depend_on_what_was_in_it():
    image, hole = jax.random.normal(KEY, (1, 32, 32, 3)), jnp.asarray(a_hole())
    np.testing.assert_array_equal(around(image, hole), around(jnp.where(hole == 1, 1e3, image), hole))


@pytest.mark.parametrize("covered", [0.0, 1.0])
def test_no_hole_leaves_the_image_and_nothing_but_a_hole_is_the_mean(covered):
    image = jax.random.normal(KEY, (2, 16, 16, 3))
    np.testing.assert_array_equal(around(image, jnp.full((2, 16, 16, 1), covered)), image * (1 - covered))


@pytest.mark.parametrize("fill", HOLE_FILLS)
def test_a_fill_changes_nothing_where_the_mask_is_below_a_half(fill):
    image = jax.random.normal(KEY, (2, 16, 16, 3))
    mask = jnp.zeros((2, 16, 16, 1)).at[:, :8].set(0.51).at[:, 8:].set(0.49)
    filled = background_of(image, mask, fill)
    np.testing.assert_allclose(filled[:, 8:], image[:, 8:], atol=1e-6)
    assert (fill == "none") == bool((filled[:, :8] == image[:, :8]).all())


def test_a_sharpened_mask_is_nearer_to_0_and_1():
    mask = jnp.linspace(0, 1, 11).reshape(1, 11, 1, 1)
    expected = 1 / (1 + np.exp(-12 * (mask - 0.5)))
    np.testing.assert_allclose(sharpened(mask, 12.0), expected, atol=1e-6)
    np.testing.assert_array_equal(sharpened(mask, 0.0), mask)


def test_a_partner_is_any_image_or_one_of_another_class():
    label = jnp.asarray([0, 0, 0, 1, 1, 2, 2, 2, 2, 2])
    drawn = np.stack([swap_partner(jax.random.key(seed), label, "any") for seed in range(50)])
    assert all(sorted(row) == list(range(10)) for row in drawn.tolist())
    assert (np.asarray(label)[drawn] == np.asarray(label)).any()
    others = np.stack([swap_partner(jax.random.key(seed), label, "other_class") for seed in range(200)])
    assert (np.asarray(label)[others] != np.asarray(label)).all()
    # Uniform over the seven examples that are not of the first one's class.
    counts = np.bincount(others[:, :3].ravel(), minlength=10)
    assert (counts[:3] == 0).all()
    assert counts[3:].min() > 600 / 7 / 2


def test_in_a_batch_of_one_class_any_image_is_a_partner():
    drawn = np.stack([swap_partner(jax.random.key(seed), jnp.zeros(4, jnp.int32), "other_class") for seed in range(50)])
    assert set(drawn.ravel().tolist()) == {0, 1, 2, 3}


def test_pasted_keeps_the_image_where_the_mask_is_1():
    image, background = jnp.ones((1, 2, 2, 3)), jnp.zeros((1, 2, 2, 3))
    mask = jnp.asarray([[1.0, 0.0], [0.25, 0.5]]).reshape(1, 2, 2, 1)
    np.testing.assert_array_equal(pasted(image, mask, background)[..., 0], mask[..., 0])
