"""Occlusion and RISE: against other libraries, and against their definitions."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.saliency.rise import _masks

from ..explanations.small_network import CUTS, IMAGE, probabilities
from .reference import CAPTUM, TARGETS

KEY = jax.random.key(0)
BOTH = jnp.stack(list(TARGETS.values()), 1)
SMALL = jax.random.uniform(KEY, (2, 5, 7, 3)) + 1
WEIGHT = jax.random.normal(jax.random.key(1), (5, 7))


def weighted(image):
    """A model whose score is a weighted sum of pixels, so that what covering removes is known."""
    return jnp.einsum("bhwc,hw->b", image, WEIGHT)[:, None]


@pytest.mark.parametrize("stride", [4, 2])
def test_occlusion_is_captums(stride):
    method = functools.partial(saliency.occlusion, window=4, stride=stride, chunk=7)
    found = jax.jit(method)(CUTS["relu2"], IMAGE, BOTH)
    for number, whose in enumerate(TARGETS):
        expected = CAPTUM[f"occlusion_w4s{stride}_logit_{whose}"]
        np.testing.assert_allclose(found[:, number], expected, rtol=0, atol=2e-6)


def test_rise_is_that_of_the_reference_masks():
    masks = jnp.asarray(CAPTUM["rise_masks"])
    found = jax.jit(functools.partial(saliency.rise, probabilities, chunk=16))(IMAGE, TARGETS["lab"], masks=masks)
    np.testing.assert_allclose(found, CAPTUM["rise_lab"], rtol=0, atol=2e-6)


@pytest.mark.parametrize(("window", "stride"), [((2, 3), (2, 2)), (3, 1), (4, 3)])
def test_occlusion_is_its_definition_up_to_the_border(window, stride):
    """Windows that reach beyond the image are cut off, and every pixel is covered."""
    found = saliency.occlusion(weighted, SMALL, 0, window=window, stride=stride, fill=jnp.full(3, 0.5), chunk=4)
    (height, width), (down, right) = (((s, s) if isinstance(s, int) else s) for s in (window, stride))
    total, count = np.zeros((2, 5, 7)), np.zeros((5, 7))
    contribution = np.einsum("bhwc,hw->bhw", SMALL - 0.5, WEIGHT)
    for top in range(0, 5 - height + down, down):
        for left in range(0, 7 - width + right, right):
            area = np.s_[top : top + height, left : left + width]
            total[:, area[0], area[1]] += contribution[:, area[0], area[1]].sum((1, 2))[:, None, None]
            count[area] += 1
    assert count.min() >= 1
    np.testing.assert_allclose(found, total / count, rtol=1e-4, atol=1e-4)


def test_rise_draws_its_masks_from_the_key_and_shows_what_matters():
    image = jnp.ones((1, 4, 4, 1))
    weight = jnp.zeros((4, 4)).at[1, 2].set(1.0).at[3, 0].set(-1.0)
    model = lambda image: jnp.einsum("bhwc,hw->b", image, weight)[:, None] + 1.0  # noqa: E731
    found = saliency.rise(model, image, 0, key=KEY, samples=600, grid=4, share=0.3, chunk=100)
    masks = _masks(KEY, jnp.arange(6), 0.3, grid=4, height=4, width=4)
    few = saliency.rise(model, image, 0, key=KEY, samples=6, grid=4, share=0.3, chunk=4)
    given = saliency.rise(model, image, 0, masks=masks, share=0.3)
    chex.assert_trees_all_close(few, given, rtol=1e-4, atol=1e-5)
    assert np.unravel_index(found[0].argmax(), (4, 4)) == (1, 2)
    assert np.unravel_index(found[0].argmin(), (4, 4)) == (3, 0)
    chex.assert_trees_all_close(found.mean(), jnp.asarray(1.0), atol=0.15)


def test_masks_have_the_form_of_the_paper():
    """From 0 to 1, of mean p at every pixel, on a coarse grid, and shifted."""
    masks = _masks(KEY, jnp.arange(2000), 0.3, grid=3, height=20, width=31)
    assert masks.shape == (2000, 20, 31)
    assert masks.min() == 0
    assert 1 <= masks.max() < 1 + 1e-6
    chex.assert_trees_all_close(masks.mean(0), jnp.full((20, 31), 0.3), atol=0.05)
    assert jnp.abs(jnp.diff(masks, axis=2)).max() < 1.01 / 11  # a cell is 11 pixels wide
    assert len(np.unique(np.asarray(masks[:, 0, :]).argmax(1))) > 3


def test_fills_hide_the_image():
    """What is not shown is the fill: with a fill that is the image, every mask sees the image."""
    found = saliency.rise(weighted, SMALL, 0, key=KEY, samples=8, fill=SMALL)
    masks = saliency.rise(lambda image: jnp.ones((len(image), 1)), SMALL, 0, key=KEY, samples=8)
    chex.assert_trees_all_close(found, masks * weighted(SMALL)[:, :, None], rtol=1e-4)
    assert (saliency.occlusion(weighted, SMALL, 0, window=2, fill=SMALL) == 0).all()


def test_a_function_of_the_outputs_is_a_target():
    """A map as output, of which a region is explained; each version has its own outputs."""
    model = lambda image: {"map": image.sum(-1)}  # noqa: E731
    target = lambda outputs: (outputs["map"] * jnp.arange(1, 3)[:, None, None])[:, 2, 3]  # noqa: E731
    found = saliency.occlusion(model, SMALL, target, window=1, stride=1, chunk=8)
    expected = jnp.zeros((2, 5, 7)).at[:, 2, 3].set(SMALL[:, 2, 3].sum(-1) * jnp.arange(1, 3))
    chex.assert_trees_all_close(found, expected, atol=1e-5)


def test_what_makes_no_sense_is_refused():
    method = functools.partial(saliency.occlusion, weighted, SMALL, 0)
    with pytest.raises(ValueError, match=r"a window of \(6, 6\) does not fit"):
        method(window=6)
    with pytest.raises(ValueError, match=r"a stride of \(3, 3\) misses pixels with a window of \(2, 2\)"):
        method(window=2, stride=3)
    with pytest.raises(ValueError, match="unknown fill 'grey'"):
        method(fill="grey")
    with pytest.raises(ValueError, match=r"share 0\.0 must lie in"):
        saliency.rise(weighted, SMALL, 0, key=KEY, share=0.0)
    with pytest.raises(ValueError, match="samples 0 and grid 7"):
        saliency.rise(weighted, SMALL, 0, key=KEY, samples=0)
    with pytest.raises(ValueError, match="masks of shape"):
        saliency.rise(weighted, SMALL, 0, masks=jnp.ones((3, 4, 4)))
    for given in ({}, {"key": KEY, "masks": jnp.ones((3, 5, 5))}):
        with pytest.raises(ValueError, match="the masks are drawn from a key, or given: give one of"):
            saliency.rise(weighted, SMALL, 0, **given)
