"""Attributions by gradients against captum, and what their options mean."""

import functools
import inspect
import re

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.saliency.versions import check_image

from ..explanations.small_network import CUTS, IMAGE, logits
from .reference import CAPTUM, TARGETS

KEY = jax.random.key(0)
BOTH = jnp.stack(list(TARGETS.values()), 1)
WEIGHT = jax.random.normal(jax.random.key(1), (4, 5, 3, 2))
CURVED = jax.random.normal(jax.random.key(2), (2, 4, 5, 3))


def squared(image):
    """A model with a known gradient: 2 x W."""
    return jnp.einsum("bhwc,hwck->bk", image**2, WEIGHT)


def compared(method, entry, tolerance):
    """Of the label and of the least likely class at once, both of them in one program."""
    found = jax.jit(method)(CUTS["relu2"], IMAGE, BOTH)
    assert found.dtype == jnp.float32
    checked = [f"{entry}_{whose}" for whose in TARGETS if f"{entry}_{whose}" in CAPTUM]
    assert checked
    for name in checked:
        number = list(TARGETS).index(name.rpartition("_")[2])
        np.testing.assert_allclose(found[:, number], CAPTUM[name], rtol=0, atol=tolerance)


def test_gradients_are_captums():
    compared(saliency.gradient, "grad", 2e-7)
    compared(saliency.gradient_times_input, "input_x_grad", 2e-7)


def test_smooth_grad_is_captums_for_its_noise():
    compared(
        functools.partial(saliency.smooth_grad, noise=jnp.asarray(CAPTUM["sg_noise"]), chunk=4), "smoothgrad", 2e-7
    )


def trapezoid_of_captum(*arguments, **options):
    """It takes points i/49 with weights 1/50, halved at both ends."""
    return saliency.integrated_gradients(*arguments, **options) * 49 / 50


@pytest.mark.parametrize(
    ("rule", "entry"),
    [
        ("gauss_legendre", "gausslegendre"),
        ("left", "riemann_left"),
        ("right", "riemann_right"),
        ("middle", "riemann_middle"),
        ("trapezoid", "riemann_trapezoid"),
    ],
)
def test_integrated_gradients_are_captums(rule, entry):
    method = trapezoid_of_captum if rule == "trapezoid" else saliency.integrated_gradients
    compared(functools.partial(method, rule=rule, chunk=10), f"ig50_{entry}", 5e-7)


@pytest.mark.parametrize("whose", TARGETS)
def test_the_convergence_delta_is_captums(whose):
    attribution = jnp.asarray(CAPTUM[f"ig50_gausslegendre_{whose}"])
    delta = jax.jit(saliency.convergence_delta)(CUTS["relu2"], IMAGE, attribution, TARGETS[whose])
    # captum gives its size, and this one is signed.
    np.testing.assert_allclose(delta, CAPTUM[f"ig50_delta_{whose}"], rtol=0, atol=2e-6)


@pytest.mark.parametrize("rule", saliency.QUADRATURES)
def test_quadratures(rule):
    """Weights sum to 1; and the integral of t^3 is right to what each rule promises."""
    points, weights = saliency.QUADRATURES[rule](50)
    assert len(points) == len(weights) == 50
    np.testing.assert_allclose(weights.sum(), 1, rtol=1e-12)
    error = abs((weights * points**3).sum() - 0.25)
    assert error < {"gauss_legendre": 1e-15, "middle": 1e-4, "trapezoid": 2e-4}.get(rule, 0.02)


def test_several_baselines_are_averaged():
    image = CURVED
    others = [jnp.ones(3), 2 * jnp.ones_like(image), "blur"]
    method = functools.partial(saliency.integrated_gradients, squared, image, 1, steps=3)
    apart = [method(baseline=one) for one in others]
    together = method(baseline=others, chunk=4)
    chex.assert_trees_all_close(together, sum(apart) / 3, rtol=1e-4, atol=1e-5)
    # Two points of Gauss and Legendre are exact for a quadratic score: x^2 W - x'^2 W.
    chex.assert_trees_all_close(apart[0], (image**2 - 1) * WEIGHT[..., 1], rtol=1e-4, atol=1e-4)
    delta = saliency.convergence_delta(squared, image, together, 1, baseline=others)
    chex.assert_trees_all_close(delta, jnp.zeros(2), atol=1e-3)
    wrong = saliency.convergence_delta(squared, image, together + 1, 1, baseline=others)
    chex.assert_trees_all_close(wrong, jnp.full(2, 60.0), atol=1e-3)


@pytest.mark.parametrize(
    ("shape", "target"), [((2, 2, 4, 5, 3), 1), ((1, 4, 5, 3), 1), ((2, 4, 5, 3), [[0, 1], [1, 0]])]
)
def test_the_convergence_delta_of_another_targets_attribution_is_refused(shape, target):
    target = jnp.array(target) if isinstance(target, list) else target
    asked = [2, 2] if shape == (2, 4, 5, 3) else [2]
    sentence = f"of shape {list(shape)} does not fit images of shape [2, 4, 5, 3] and a target of shape {asked}"
    with pytest.raises(ValueError, match=re.escape(sentence)):
        # Without the types that only tests check.
        inspect.unwrap(saliency.convergence_delta)(squared, CURVED, jnp.ones(shape), target)


def test_noise_scales_with_each_images_range_and_does_not_depend_on_the_batch():
    """The gradient of x^2 W is 2 x W, so with noise it is off by 2 W times the noise's mean."""
    image = CURVED * jnp.array([1.0, 10.0])[:, None, None, None]
    clean = 2 * image * WEIGHT[..., 0]
    options = {"key": KEY, "samples": 300, "deviation": 0.2, "chunk": 50}
    smooth = saliency.smooth_grad(squared, image, 0, **options)
    variance = saliency.var_grad(squared, image, 0, **options)
    scale = 0.2 * (image.max((1, 2, 3)) - image.min((1, 2, 3)))
    noise = (smooth - clean) / (2 * WEIGHT[..., 0]) / scale[:, None, None, None]
    chex.assert_trees_all_close(noise[0], noise[1], atol=1e-3)
    assert 0.02 < noise.std() < 0.12  # 1 / sqrt(300) = 0.06
    expected = (2 * WEIGHT[..., 0] * scale[:, None, None, None]) ** 2
    assert jnp.abs(variance / expected - 1).max() < 0.5
    alone = saliency.smooth_grad(squared, image[1:], 0, **options)
    chex.assert_trees_all_close(alone[0], smooth[1], rtol=1e-5, atol=1e-4)
    other = saliency.smooth_grad(squared, image, 0, **(options | {"key": jax.random.key(1)}))
    assert jnp.abs(other - smooth).max() > 1e-3


def test_the_variance_is_that_of_the_gradients():
    noise = jax.random.normal(KEY, (6, *CURVED.shape))
    gradients = np.stack([saliency.gradient(squared, CURVED + one, 0) for one in noise])
    found = saliency.var_grad(squared, CURVED, 0, noise=noise, chunk=4)
    np.testing.assert_allclose(found, gradients.var(0), rtol=1e-4, atol=1e-5)


def test_the_predicted_class_is_the_clean_images():
    """With noise as large as this, the noisy copies are predicted to be anything."""
    predicted = logits(IMAGE).argmax(-1)
    noise = 20 * jax.random.normal(KEY, (3, *IMAGE.shape))
    found, expected = (
        jax.jit(lambda image, t=target: saliency.smooth_grad(logits, image, t, noise=noise, chunk=3))(IMAGE)
        for target in ("predicted", predicted)
    )
    assert (logits(IMAGE + noise[0]).argmax(-1) != predicted).any()
    chex.assert_trees_all_equal(found, expected)


def test_channels_are_reduced_by_name():
    attribution = jnp.array([[[[3.0, -4.0, 0.0], [0.0, 0.0, 0.0]]]])
    expected = {"sum": [-1, 0], "sum_abs": [7, 0], "max_abs": [4, 0], "norm": [5, 0]}
    assert expected.keys() == saliency.CHANNEL_RULES.keys()
    for rule, values in expected.items():
        assert saliency.over_channels(attribution, rule).tolist() == [[values]]
        assert saliency.over_channels(attribution[:, None], rule).shape == (1, 1, 1, 2)
        gradient = jax.grad(lambda a, rule=rule: saliency.over_channels(a, rule).sum())(attribution)
        chex.assert_tree_all_finite(gradient)
    with pytest.raises(ValueError, match="unknown rule 'mean' for channels: choose one of sum, sum_abs"):
        saliency.over_channels(attribution, "mean")


def test_what_makes_no_sense_is_refused():
    method = functools.partial(saliency.integrated_gradients, squared, CURVED, 0)
    with pytest.raises(ValueError, match="unknown rule 'simpson'"):
        method(rule="simpson")
    with pytest.raises(ValueError, match="steps 0 must be 1 or more"):
        method(steps=0)
    with pytest.raises(ValueError, match="trapezoid rule needs 2 steps"):
        method(steps=1, rule="trapezoid")
    with pytest.raises(ValueError, match="unknown fill 'grey'"):
        method(baseline="grey")
    with pytest.raises(ValueError, match="no baseline"):
        method(baseline=[])
    with pytest.raises(ValueError, match="drawn from a key, or given"):
        saliency.smooth_grad(squared, CURVED, 0)
    with pytest.raises(ValueError, match=r"noise of shape \[3, 2, 4\] does not fit"):
        saliency.smooth_grad(squared, CURVED, 0, noise=jnp.ones((3, 2, 4)))
    with pytest.raises(ValueError, match="samples 0"):
        saliency.smooth_grad(squared, CURVED, 0, key=KEY, samples=0)
    with pytest.raises(ValueError, match="labels from 2 to 2"):
        saliency.gradient(squared, CURVED, 2)
    with pytest.raises(ValueError, match="no batch of images"):
        check_image(CURVED[0])
    with pytest.raises(TypeError, match="type int32 is not what a model reads"):
        check_image(CURVED.astype(jnp.int32))
