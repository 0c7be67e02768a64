import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import explanations
from align_jax.explanations import faithfulness_correlation, infidelity, max_sensitivity

from .small_network import ERASER, IMAGE, PREDICTED, logits

CAPTUM = dict(np.load(pathlib.Path(__file__).parent / "captum.npz"))
MAPS = jnp.asarray(ERASER["saliency/gradcam"], jnp.float32)


def stored(name):
    """Noise [b n h w c] as a function of its number."""
    noise = jnp.moveaxis(jnp.asarray(CAPTUM[name]), 1, 0)
    return lambda number: noise[number]


def gradient(image):
    return jax.grad(lambda image: logits(image)[jnp.arange(len(image)), PREDICTED].sum())(image)


@pytest.mark.parametrize(("normalise", "ending"), [(False, "raw"), (True, "norm")])
@pytest.mark.parametrize(("name", "entry"), [("gradient", "grad"), ("integrated_gradients", "ig50_gausslegendre")])
def test_infidelity_is_that_of_the_reference(name, entry, normalise, ending):
    attribution = jnp.asarray(CAPTUM[name])
    found = infidelity(logits, IMAGE, attribution, noise=stored("infidelity_noise"), samples=6, normalise=normalise)
    np.testing.assert_allclose(found, CAPTUM[f"infidelity_{entry}_lab_{ending}"], rtol=5e-5)
    if normalise:
        scaled = infidelity(
            logits, IMAGE, 30 * attribution, noise=stored("infidelity_noise"), samples=6, normalise=True
        )
        np.testing.assert_allclose(scaled, found, rtol=1e-3)


def test_a_linear_model_has_no_infidelity():
    linear = lambda image: image.reshape(len(image), -1)[:, :5]  # noqa: E731
    attribution = jnp.zeros_like(IMAGE).at[:, 0, 0, 1].set(1.0)
    noise = explanations.gaussian_noise(jax.random.key(0), IMAGE, 0.3)
    np.testing.assert_allclose(infidelity(linear, IMAGE, attribution, 1, noise=noise, samples=4), 0, atol=1e-10)
    assert (infidelity(linear, IMAGE, attribution, 2, noise=noise, samples=4) > 1e-3).all()


def test_without_noise_nothing_changes_in_low_precision_too():
    low = IMAGE.astype(jnp.bfloat16)
    silent = lambda number: jnp.zeros(IMAGE.shape)  # noqa: E731
    np.testing.assert_array_equal(infidelity(logits, low, gradient(low), noise=silent, samples=2), 0)
    np.testing.assert_array_equal(max_sensitivity(gradient, low, noise=silent, samples=2), 0)


def test_scales_do_not_matter_to_what_is_relative():
    noise = stored("sensitivity_noise")
    plain = max_sensitivity(gradient, IMAGE, noise=noise, samples=6)
    for scale in (1e-25, 1e25):
        scaled = max_sensitivity(lambda image, scale=scale: scale * gradient(image), IMAGE, noise=noise, samples=6)
        np.testing.assert_allclose(scaled, plain, rtol=1e-4)
    zero = infidelity(logits, IMAGE, 0 * IMAGE, noise=stored("infidelity_noise"), samples=6, normalise=True)
    same = infidelity(logits, IMAGE, 0 * IMAGE, noise=stored("infidelity_noise"), samples=6)
    np.testing.assert_array_equal(zero, same)


def test_sensitivity_is_that_of_the_reference():
    found = jax.jit(lambda image: max_sensitivity(gradient, image, noise=stored("sensitivity_noise"), samples=6))(IMAGE)
    np.testing.assert_allclose(found, CAPTUM["sensitivity_max_grad_lab"], atol=5e-7)


def test_an_explanation_that_is_zero_has_no_sensitivity_and_a_constant_one_is_not_sensitive():
    noise = explanations.uniform_noise(jax.random.key(0), IMAGE, 0.02)
    assert np.isnan(max_sensitivity(lambda image: 0 * image, IMAGE, noise=noise, samples=2)).all()
    constant = max_sensitivity(lambda image: jnp.ones_like(image), IMAGE, noise=noise, samples=2)
    np.testing.assert_array_equal(constant, 0)


def test_correlation_of_sums_with_falls():
    """Against the definition, in float64 but for the network itself."""
    rng = np.random.default_rng(0)
    subsets = jnp.asarray(rng.random((12, 8, 16, 16)) < 0.3)
    found = faithfulness_correlation(
        logits, IMAGE, MAPS, subsets=lambda number: subsets[number], samples=12, fill=jnp.zeros(3)
    )
    every = np.arange(8)
    of = lambda image: np.asarray(logits(image), np.float64)[every, PREDICTED]  # noqa: E731
    falls = np.stack([of(IMAGE) - of(jnp.where(subset[..., None], 0, IMAGE)) for subset in subsets], 1)
    sums = np.einsum("nbhw,bhw->bn", np.asarray(subsets, np.float64), np.asarray(MAPS, np.float64))
    expected = [np.corrcoef(a, b)[0, 1] for a, b in zip(sums, falls, strict=True)]
    np.testing.assert_allclose(found, expected, atol=2e-5)
    jitted = jax.jit(
        lambda maps: faithfulness_correlation(
            logits, IMAGE, maps, subsets=lambda number: subsets[number], samples=12, fill=jnp.zeros(3)
        )
    )
    np.testing.assert_allclose(jitted(MAPS), found, atol=2e-5)
    assert np.isnan(jitted(jnp.ones_like(MAPS))).all()


def test_draws_follow_from_the_key_and_the_number():
    subset = explanations.random_subsets(jax.random.key(0), IMAGE, 30)
    third, fourth = subset(jnp.array(3)), subset(jnp.array(4))
    assert (third.sum(axis=(1, 2)) == 30).all()
    np.testing.assert_array_equal(subset(jnp.array(3)), third)
    assert (third != fourth).any(axis=(1, 2)).all()
    uniform = explanations.uniform_noise(jax.random.key(0), IMAGE, 0.02)
    assert 0.019 < jnp.abs(uniform(jnp.array(1))).max() <= 0.02
    normal = explanations.gaussian_noise(jax.random.key(0), IMAGE, 0.5)
    np.testing.assert_allclose(normal(jnp.array(1)).std(), 0.5, rtol=0.05)
    keys = jax.random.split(jax.random.key(0), 8)
    for draw, size in (
        (explanations.gaussian_noise, 1.0),
        (explanations.uniform_noise, 1.0),
        (explanations.random_subsets, 9),
    ):
        whole, part = draw(keys, IMAGE, size)(jnp.array(3)), draw(keys[2:4], IMAGE[2:4], size)(jnp.array(3))
        np.testing.assert_array_equal(whole[2:4], part)  # an image's draws do not depend on its batch
    with pytest.raises(ValueError, match="a subset of 300 pixels must have 1 to 256"):
        explanations.random_subsets(jax.random.key(0), IMAGE, 300)
    with pytest.raises(ValueError, match="samples 0 must be at least 1"):
        infidelity(logits, IMAGE, IMAGE, noise=normal, samples=0)
