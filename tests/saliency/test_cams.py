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


@pytest.mark.parametrize("method", [saliency.grad_cam, saliency.grad_cam_plus_plus])
def test_channels_are_summed_at_full_precision(method):
    """A GPU's product of matrices would round float32 to 10 bits; the head's own products are the model's affair."""
    program = jax.jit(lambda features: method(lambda features: (features**2).sum((1, 2)), features, 0))
    products = [line for line in program.lower(FEATURES).as_text().splitlines() if "dot_general" in line]
    assert products
    assert all("precision = [HIGHEST, HIGHEST]" in line for line in products)


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


def test_evidence_is_each_logits_grad_cam_less_the_mean_and_sums_to_the_logits_without_bias():
    bias = jnp.array([1.0, -2.0, 0.5])
    found = saliency.evidence(lambda h: linear_head(h) + bias, FEATURES)
    maps = [saliency.grad_cam(linear_head, FEATURES, jnp.full(B, number)) for number in range(K)]
    chex.assert_trees_all_close(found, jnp.stack(maps, 1) - sum(maps)[:, None] / K, rtol=1e-4, atol=1e-6)
    logits = linear_head(FEATURES)
    chex.assert_trees_all_close(found.sum((2, 3)), logits - logits.mean(1, keepdims=True), rtol=1e-4, atol=1e-5)
    total = lambda kernel, alpha: (saliency.evidence(lambda h: h.mean((1, 2)) @ kernel, FEATURES, alpha) ** 2).sum()  # noqa: E731
    assert (jax.grad(total)(KERNEL, "constant") == 0).all()


def test_normalisations():
    raw = jnp.array([[[-1.0, 0.0], [1.0, 3.0]]])
    chex.assert_trees_all_close(saliency.normalise_minmax(raw), jnp.array([[[0, 0.25], [0.5, 1]]]), atol=1e-6)
    chex.assert_trees_all_close(saliency.normalise_max(raw), jnp.array([[[0, 0], [1 / 3, 1]]]), atol=1e-6)


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("level", [0.0, -2.0, -1e-7, 3e-26])
def test_flat_maps_become_zeros_with_zero_gradient(dtype, level):
    """Zero maps, maps without a positive cell, maps whose range is rounding error, maps that are next to nothing."""
    raw = jnp.full((2, 3, 3), level, dtype).at[0, 0, 0].multiply(1 + 2e-7)
    for normalise in saliency.NORMALISATIONS.values():
        values, pullback = jax.vjp(normalise, raw)
        assert values.dtype == jnp.float32
        assert (values == 0).all()
        assert (pullback(jnp.ones((2, 3, 3)))[0] == 0).all()


def test_small_positive_cells_beside_large_negative_ones_are_shown():
    raw = jnp.array([[[-20, 1.5e-5], [1e-5, 0]], [[-1e30, 3e-5], [2e-5, 0]]])
    chex.assert_trees_all_close(saliency.normalise_max(raw), jnp.array([[[0, 1], [2 / 3, 0]]] * 2), rtol=1e-6)


def test_maps_of_the_largest_numbers_are_not_flat():
    raw = jnp.array([[[-1.0, 0.0], [1.0, 3.0]]])
    for normalise in saliency.NORMALISATIONS.values():
        chex.assert_trees_all_close(normalise(raw * 1.1e38), normalise(raw), rtol=1e-6)


@pytest.mark.parametrize("normalise", saliency.NORMALISATIONS.values())
def test_the_scale_of_a_map_does_not_matter(normalise):
    """In the values and, but for the scale itself, in the gradients; also for maps that are nearly constant."""
    raw = jax.random.normal(jax.random.key(3), (4, 5, 5)) + jnp.array([0.0, 1.0, -1.0, 1e4])[:, None, None]
    above = jax.random.normal(jax.random.key(4), raw.shape)
    values, pullback = jax.vjp(normalise, raw)
    (gradient,) = pullback(above)
    assert jnp.isfinite(gradient).all()
    for scale in (2.0**-80, 2.0**-40, 2.0**-7, 2.0**90):
        scaled, pullback = jax.vjp(normalise, raw * scale)
        chex.assert_trees_all_equal(scaled, values)
        chex.assert_trees_all_equal(pullback(above)[0] * scale, gradient)
    for scale in (1e-20, 1e-9, 1e-7, 0.3, 1e9):
        chex.assert_trees_all_close(normalise(raw[:3] * scale), values[:3], atol=1e-6)


def test_ordinary_maps_have_the_values_of_the_published_formulas():
    raw = jax.random.normal(jax.random.key(3), (8, 7, 7))
    low, high = raw.min((1, 2), keepdims=True), raw.max((1, 2), keepdims=True)
    chex.assert_trees_all_close(saliency.normalise_minmax(raw), (raw - low) / (high - low + 1e-8), rtol=3e-7)
    chex.assert_trees_all_close(saliency.normalise_max(raw), jax.nn.relu(raw) / (high + 1e-8), rtol=3e-7)


@pytest.mark.parametrize("value", [jnp.nan, jnp.inf])
@pytest.mark.parametrize("normalise", saliency.NORMALISATIONS.values())
def test_maps_that_are_not_finite_stay_so(normalise, value):
    assert jnp.isnan(normalise(jnp.full((1, 2, 2), value))).all()


@pytest.mark.parametrize("lead", [5.0, 12.0, 14.0, 20.0, 40.0])
def test_a_confident_prediction_has_a_map_of_its_log_probability(lead):
    """From p = .99 over .999997 to 1 - 1e-17, against float64; and what trains on the map has finite gradients."""
    bias = lead * jax.nn.one_hot(LABEL, K)
    head = lambda features, kernel: features.mean((1, 2)) @ kernel + bias  # noqa: E731

    def map_of(kernel):
        raw = saliency.grad_cam(lambda f: head(f, kernel), FEATURES, LABEL, explained="log_probability")
        return saliency.normalise_minmax(raw)

    features, kernel, logits = (np.asarray(a, np.float64) for a in (FEATURES, KERNEL, head(FEATURES, KERNEL)))
    odds = np.exp(logits - logits[np.arange(B), LABEL][:, None])
    odds[np.arange(B), LABEL] = 0
    others = odds / (1 + odds.sum(1, keepdims=True))
    weights = others.sum(1)[:, None] * kernel[:, LABEL].T - others @ kernel.T
    expected = np.einsum("bhwc,bc->bhw", features, weights)
    expected -= expected.min((1, 2), keepdims=True)
    expected /= expected.max((1, 2), keepdims=True)
    chex.assert_trees_all_close(jax.jit(map_of)(KERNEL), expected.astype(np.float32), atol=1e-4)
    gradient = jax.jit(jax.grad(lambda kernel: (map_of(kernel) ** 2).sum()))(KERNEL)
    assert jnp.isfinite(gradient).all()
    assert 1e-3 < jnp.abs(gradient).max() < 1e3


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


def test_targets_that_are_functions():
    """The log-probability and a margin of one class, or of one for each image."""
    features = FEATURES
    first = saliency.grad_cam(linear_head, features, saliency.log_probability(LABEL))
    chex.assert_trees_all_close(first, saliency.grad_cam(linear_head, features, LABEL, explained="log_probability"))
    one = saliency.grad_cam(linear_head, features, saliency.log_probability(1))
    chex.assert_trees_all_close(one, saliency.grad_cam(linear_head, features, 1, explained="log_probability"))
    margin = saliency.grad_cam(linear_head, features, saliency.margin(0, LABEL))
    apart = saliency.grad_cam(linear_head, features, 0) - saliency.grad_cam(linear_head, features, LABEL)
    chex.assert_trees_all_close(margin, apart, rtol=1e-4, atol=1e-6)
    predicted = linear_head(features).argmax(-1)
    of_predicted = saliency.grad_cam(linear_head, features, explained="log_probability")
    expected = saliency.grad_cam(linear_head, features, predicted, explained="log_probability")
    chex.assert_trees_all_close(of_predicted, expected)


def test_cells_that_share_the_maximum_but_for_rounding_share_its_gradient():
    """Also where a compiler rounds a map anew for the gradient, so that no cell is equal to the maximum."""
    cells = jnp.array([[[4.0, 4.0, 1.0, 2.0], [-1.0, 3.0, 4.0 - 2e-6, 0.5]]])
    weight = jnp.arange(8.0).reshape(1, 2, 4)
    gradient = jax.grad(lambda cells: (weight * saliency.normalise_max(cells)).sum())(cells)
    of_the_maximum = -(weight * jax.nn.relu(cells)).sum() / 16
    expected = jnp.where(cells > 0, weight / 4, 0).at[0, (0, 0, 1), (0, 1, 2)].add(of_the_maximum / 3)
    np.testing.assert_allclose(gradient, expected, rtol=1e-5)
