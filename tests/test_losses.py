"""Each term by hand, at the edges of its range, and on zero or constant inputs."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses


def test_distinction_is_zero_when_the_mask_holds_all_the_evidence():
    values = losses.distinction(jnp.array([1.0, 0.0, 0.5]), jnp.array([0.0, 1.0, 0.5]))
    chex.assert_trees_all_close(values, jnp.array([0.0, 4.0, 1.0]))


def test_sparsity_and_smoothness_by_hand():
    mask = jnp.array([[0.0, 1.0], [0.5, 0.5]])[None, ..., None]
    chex.assert_trees_all_close(losses.sparsity(mask), jnp.array([0.5]))
    # vertical: |0.5|, |-0.5|; horizontal: |1|, |0|
    chex.assert_trees_all_close(losses.smoothness(mask), jnp.array([0.5 + 0.5]))
    assert float(losses.smoothness(jnp.full((1, 4, 4, 1), 0.3))[0]) == 0


def test_cross_entropy_of_even_logits_is_the_logarithm_of_their_number():
    chex.assert_trees_all_close(losses.cross_entropy(jnp.zeros((2, 5)), jnp.array([0, 4])), jnp.full(2, np.log(5)))


def test_alignment_is_least_where_saliency_equals_the_mask():
    mask = jax.random.uniform(jax.random.key(0), (4, 6, 6, 1), minval=0.05, maxval=0.95)
    saliency = mask[..., 0]
    least = losses.alignment(saliency, mask)
    entropy = -(saliency * jnp.log(saliency) + (1 - saliency) * jnp.log(1 - saliency)).mean((1, 2))
    chex.assert_trees_all_close(least, entropy, rtol=1e-5)
    assert (losses.alignment(jnp.clip(saliency + 0.04, 0, 1), mask) > least).all()
    gradient = jax.grad(lambda s: losses.alignment(s, mask).sum())(saliency)
    chex.assert_trees_all_close(gradient, jnp.zeros_like(gradient), atol=1e-6)


def test_alignment_averages_the_mask_down_or_upsamples_the_saliency():
    mask = jnp.kron(jnp.array([[0.0, 1.0], [1.0, 0.0]]), jnp.ones((4, 4)))[None, ..., None]
    saliency = jnp.array([[[0.1, 0.9], [0.8, 0.2]]])
    by_hand = -np.log([0.9, 0.9, 0.8, 0.8]).mean()
    chex.assert_trees_all_close(losses.alignment(saliency, mask), jnp.array([by_hand]), rtol=1e-5)
    upsampled = losses.alignment_at_image_resolution(saliency, mask)
    assert float(upsampled[0]) > by_hand  # the interpolation blurs the edge that the mask has


def test_energy_is_the_share_of_positive_evidence_beside_the_mask():
    mask = jnp.kron(jnp.array([[1.0, 0.0], [0.0, 0.0]]), jnp.ones((2, 2)))[None, ..., None]
    label = jnp.array([[3.0, 1.0], [-4.0, 0.0]])
    evidence = jnp.stack([label, -label])[None]
    # For the label 3 inside and 1 beside, for the other class 4 beside.
    chex.assert_trees_all_close(losses.energy(evidence, mask), jnp.array([5 / 8]))
    chex.assert_trees_all_close(losses.energy(1e-20 * evidence, mask), jnp.array([5 / 8]))
    constant = jnp.broadcast_to(jnp.array([2.0, -2.0])[None, :, None, None], (1, 2, 2, 2))
    chex.assert_trees_all_close(losses.energy_at_image_resolution(constant, mask), jnp.array([3 / 4]))
    blurred = losses.energy_at_image_resolution(evidence, mask)
    assert 0 < float(blurred[0]) < 1
    assert abs(float(blurred[0]) - 5 / 8) > 1e-3


def test_no_gradient_reaches_the_mask():
    mask = jnp.full((1, 4, 4, 1), 0.3)
    for term in (losses.alignment, losses.alignment_at_image_resolution):
        gradient = jax.grad(lambda mask, term=term: term(jnp.full((1, 2, 2), 0.6), mask).sum())(mask)
        assert (gradient == 0).all()
    evidence = jnp.array([1.0, -1.0])[None, :, None, None] * jnp.arange(4.0).reshape(1, 1, 2, 2)
    for term in (losses.energy, losses.energy_at_image_resolution):
        gradient = jax.grad(lambda mask, term=term: term(evidence, mask).sum())(mask)
        assert (gradient == 0).all()


def test_consistency_is_zero_for_maps_that_mix_like_the_images():
    saliency, partner = jax.random.uniform(jax.random.key(0), (2, 3, 4, 4))
    mixing = jnp.array([0.0, 0.3, 1.0])
    mixed = mixing[:, None, None] * saliency + (1 - mixing)[:, None, None] * partner
    chex.assert_trees_all_close(losses.consistency(mixed, saliency, partner, mixing), jnp.zeros(3), atol=1e-7)
    chex.assert_trees_all_close(losses.consistency(mixed + 0.1, saliency, partner, mixing), jnp.full(3, 0.1), rtol=1e-5)


def test_both_sparsities_by_hand():
    saliency, mixed = jnp.array([[[0.0, 1.0], [0.5, 0.0]]]), jnp.array([[[0.2, 0.2], [0.2, 0.6]]])
    chex.assert_trees_all_close(losses.saliency_sparsity(saliency, mixed), jnp.array([0.5 * (0.375 + 0.3)]))
    # the maximum over rows of each column: (0.5, 1) and (0.2, 0.6)
    expected = jnp.array([0.5 * (0.75 + 0.4)])
    chex.assert_trees_all_close(losses.saliency_sparsity_as_published(saliency, mixed), expected)


def test_mean_over_classes_against_a_loop():
    values = jax.random.normal(jax.random.key(0), (7,))
    label = jnp.array([0, 0, 3, 1, 3, 3, 0])
    by_class = [np.asarray(values)[np.asarray(label) == k].mean() for k in (0, 1, 3)]
    chex.assert_trees_all_close(losses.mean_over_classes(values, label, 5), jnp.float32(sum(by_class) / 5), rtol=1e-5)
    chex.assert_trees_all_close(losses.mean_over_batch(values, label, 5), values.mean())


def test_mean_over_classes_of_single_members_has_finite_gradients():
    gradient = jax.grad(lambda values: losses.mean_over_classes(values, jnp.array([1, 2]), 4))(jnp.ones(2))
    chex.assert_trees_all_close(gradient, jnp.full(2, 0.25))


MAPS = {
    "zeros": jnp.zeros((2, 4, 4)),
    "ones": jnp.ones((2, 4, 4)),
    "mixed": jax.random.uniform(jax.random.key(1), (2, 4, 4)),
}


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
@pytest.mark.parametrize("saliency", MAPS)
@pytest.mark.parametrize("mask", MAPS)
def test_terms_on_maps_are_finite_with_finite_gradients_in_float32(dtype, saliency, mask):
    saliency, mask = MAPS[saliency].astype(dtype), MAPS[mask].astype(dtype)[..., None]
    mixing = jnp.array([0.0, 1.0], dtype)
    terms = {
        "alignment": lambda s: losses.alignment(s, mask),
        "alignment_at_image_resolution": lambda s: losses.alignment_at_image_resolution(s, mask),
        "energy": lambda s: losses.energy(jnp.stack([s, -s], 1), mask),
        "energy_at_image_resolution": lambda s: losses.energy_at_image_resolution(jnp.stack([s, -s], 1), mask),
        "consistency": lambda s: losses.consistency(s, s[::-1], mask[..., 0], mixing),
        "sparsity": lambda s: losses.saliency_sparsity(s, mask[..., 0]),
        "sparsity_as_published": lambda s: losses.saliency_sparsity_as_published(s, mask[..., 0]),
        "mask_sparsity": lambda s: losses.sparsity(s[..., None]),
        "mask_smoothness": lambda s: losses.smoothness(s[..., None]),
    }
    for name, term in terms.items():
        values, pullback = jax.vjp(term, saliency)
        assert values.dtype == jnp.float32, name
        chex.assert_shape(values, (2,))
        chex.assert_tree_all_finite((values, pullback(jnp.ones_like(values))))


@pytest.mark.parametrize("dtype", [jnp.float32, jnp.bfloat16])
def test_terms_on_logits_are_finite_where_the_softmax_saturates(dtype):
    logits = jnp.array([[1e4, 0.0], [0.0, 1e4]], dtype)
    values, pullback = jax.vjp(lambda z: losses.cross_entropy(z, jnp.array([0, 0])), logits)
    assert values.dtype == jnp.float32
    chex.assert_tree_all_finite((values, pullback(jnp.ones_like(values))))
