"""Grad-CAM, its normalisations and its grids: values, and gradients of flat maps."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from align_jax import saliency

B, H, W, C, K = 3, 4, 5, 6, 3
FEATURES = jax.random.normal(jax.random.key(0), (B, H, W, C))
KERNEL = jax.random.normal(jax.random.key(1), (C, K))
LABEL = jnp.array([0, 2, 1])


def linear_head(features):
    return features.mean((1, 2)) @ KERNEL


def test_grad_cam_of_a_pooled_linear_head_is_cam():
    """d logit_y / dA = W_y / (h w) everywhere, so Grad-CAM is CAM / (h w)."""
    cam = jnp.einsum("bhwc,cb->bhw", FEATURES, KERNEL[:, LABEL]) / (H * W)
    chex.assert_trees_all_close(saliency.grad_cam(linear_head, FEATURES, LABEL), cam, rtol=1e-5)


def test_grad_cam_of_a_curved_head_uses_each_examples_own_gradient():
    head = lambda features: jnp.tanh((features**2).mean((1, 2)) @ KERNEL)  # noqa: E731
    together = saliency.grad_cam(head, FEATURES, LABEL)
    alone = [saliency.grad_cam(head, FEATURES[i : i + 1], LABEL[i : i + 1])[0] for i in range(B)]
    chex.assert_trees_all_close(together, jnp.stack(alone), rtol=1e-5)


def test_constant_alpha_has_the_same_value_and_no_gradient_in_the_heads_weights():
    def total(kernel, alpha):
        return (saliency.grad_cam(lambda h: h.mean((1, 2)) @ kernel, FEATURES, LABEL, alpha) ** 2).sum()

    chex.assert_trees_all_equal(total(KERNEL, "constant"), total(KERNEL, "differentiated"))
    assert (jax.grad(total)(KERNEL, "constant") == 0).all()
    assert (jax.grad(total)(KERNEL, "differentiated") != 0).all()


def test_the_log_probability_counts_the_evidence_of_the_other_classes():
    """With a pooled linear head alpha is W_y - sum_k p_k W_k; the logit's is W_y."""
    pooled = FEATURES.mean((1, 2))
    probabilities = jax.nn.softmax(pooled @ KERNEL)
    expected = jnp.einsum("bhwc,bc->bhw", FEATURES, KERNEL[:, LABEL].T - probabilities @ KERNEL.T) / (H * W)
    found = saliency.grad_cam(linear_head, FEATURES, LABEL, explained="log_probability")
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)


def test_normalisations():
    raw = jnp.array([[[-1.0, 0.0], [1.0, 3.0]]])
    chex.assert_trees_all_close(saliency.normalise_minmax(raw), jnp.array([[[0, 0.25], [0.5, 1]]]), atol=1e-6)
    chex.assert_trees_all_close(saliency.normalise_max(raw), jnp.array([[[0, 0], [1 / 3, 1]]]), atol=1e-6)


@pytest.mark.parametrize("normalise", saliency.NORMALISATIONS.values())
@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("level", [0.0, -2.0, 1e-7])
def test_flat_maps_become_zeros_with_zero_gradient(normalise, dtype, level):
    """Zero maps, maps without a positive cell, maps whose range is rounding error."""
    raw = jnp.full((2, 3, 3), level, dtype).at[0, 0, 0].add(jnp.asarray(1e-8, dtype))
    values, pullback = jax.vjp(normalise, raw)
    assert values.dtype == jnp.float32
    assert (values == 0).all()
    assert (pullback(jnp.ones_like(values))[0] == 0).all()


@pytest.mark.parametrize("normalise", saliency.NORMALISATIONS.values())
def test_gradients_agree_with_finite_differences(normalise):
    raw = jax.random.normal(jax.random.key(3), (2, 3, 4))
    check_grads(lambda raw: normalise(jnp.asarray(raw)), (raw,), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


@pytest.mark.parametrize("cells", [(2, 3), (4, 5), (3, 2), (12, 10)])
def test_to_grid_averages_areas_exactly(cells):
    """Against pixels cut into so many equal parts that every cell is a whole number of them."""
    mask = jax.random.uniform(jax.random.key(0), (2, 4, 5, 1))
    fine = np.repeat(np.repeat(np.asarray(mask[..., 0]), cells[0], axis=1), cells[1], axis=2)
    expected = fine.reshape(2, cells[0], 4, cells[1], 5).mean((2, 4))
    chex.assert_trees_all_close(saliency.to_grid(mask, *cells), expected, rtol=1e-5)


def test_to_grid_of_the_same_size_changes_nothing():
    mask = jax.random.uniform(jax.random.key(0), (2, 7, 6, 1))
    chex.assert_trees_all_equal(saliency.to_grid(mask, 7, 6), mask[..., 0])


def test_upsampling_keeps_constants_and_interpolates_between_centres():
    assert (saliency.upsample(jnp.ones((1, 2, 2)), 8, 8) == 1).all()
    row = saliency.upsample(jnp.array([[[0.0, 1.0]]]), 1, 4)[0, 0]
    chex.assert_trees_all_close(row, jnp.array([0, 0.25, 0.75, 1]))
