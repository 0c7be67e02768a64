"""Class activation maps against other libraries, at two layers, for the label and for the least likely class."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.test_util import check_grads

from align_jax import saliency

from ..explanations.small_network import CUTS, IMAGE, head_conv2, head_relu2, logits
from .reference import CAMS, TARGETS

OF_GRADIENT = {
    "GradCAM": saliency.grad_cam,
    "HiResCAM": saliency.hires_cam,
    "LayerCAM": saliency.layer_cam,
    "GradCAMElementWise": saliency.element_wise_cam,
    "GradCAMPlusPlus": saliency.grad_cam_plus_plus,
}
HEADS = {"conv2": head_conv2, "relu2": head_relu2}
where = pytest.mark.parametrize(("layer", "whose"), [(layer, whose) for layer in CUTS for whose in TARGETS])


def with_aligned_corners(maps, height, width):
    """Bilinear upsampling in which the first and last pixels are those of the map, as pytorch-grad-cam's ScoreCAM."""

    def matrix(size, cells):
        place = np.linspace(0, cells - 1, size)
        return np.maximum(0, 1 - np.abs(place[:, None] - np.arange(cells)[None])).astype(np.float32)

    return jnp.einsum("yu,xv,nuv->nyx", matrix(height, maps.shape[1]), matrix(width, maps.shape[2]), maps)


def as_pytorch_grad_cam_shows(raw):
    """ReLU, min-max, resize, ReLU, min-max, with 1e-7 added to each maximum."""

    def rescaled(maps):
        maps = maps - maps.min((1, 2), keepdims=True)
        return maps / (1e-7 + maps.max((1, 2), keepdims=True))

    fine = saliency.upsample(rescaled(jax.nn.relu(raw)), *IMAGE.shape[1:3])
    return rescaled(jax.nn.relu(fine))


@functools.cache
def raw_map(name, layer, whose):
    if name == "ScoreCAM":
        method = functools.partial(saliency.score_cam, upsample=with_aligned_corners, chunk=12)
    else:
        method = OF_GRADIENT[name]
    return jax.jit(method)(CUTS[layer], IMAGE, TARGETS[whose])


@where
@pytest.mark.parametrize("name", [*OF_GRADIENT, "ScoreCAM"])
def test_maps_are_those_of_pytorch_grad_cam(name, layer, whose):
    raw, expected = raw_map(name, layer, whose), CAMS[f"gradcamlib_raw/{name}/{layer}_{whose}"]
    assert raw.dtype == jnp.float32
    tolerance = 2e-6 * np.abs(expected).max() if name in ("GradCAMPlusPlus", "ScoreCAM") else 1e-6
    np.testing.assert_allclose(raw, expected, rtol=0, atol=tolerance)
    np.testing.assert_allclose(
        as_pytorch_grad_cam_shows(raw), CAMS[f"gradcamlib/{name}/{layer}_{whose}"], rtol=0, atol=2e-6
    )


@where
def test_the_log_probabilitys_map_is_that_of_pytorch_grad_cam(layer, whose):
    raw = jax.jit(lambda cut, image, target: saliency.grad_cam(cut, image, target, explained="log_probability"))(
        CUTS[layer], IMAGE, TARGETS[whose]
    )
    expected = CAMS[f"gradcamlib/GradCAM_softmaxtarget/{layer}_{whose}"]
    # Its maps of a probability next to 0 are so small that the 1e-7 which it adds shows.
    np.testing.assert_allclose(as_pytorch_grad_cam_shows(raw), expected, rtol=0, atol={"lab": 1e-6, "low": 5e-5}[whose])


@pytest.mark.parametrize("whose", TARGETS)
def test_maps_are_those_of_captum_torchcam_and_the_definition(whose):
    for name, layer, entry in (
        ("GradCAM", "relu2", "direct/gradcam_relu2"),
        ("GradCAM", "conv2", "direct/gradcam_conv2"),
        ("GradCAM", "relu2", "captum/LayerGradCam_relu2"),
        ("GradCAM", "relu2", "torchcam/GradCAM_raw/relu2"),
        ("LayerCAM", "relu2", "torchcam/LayerCAM_raw/relu2"),
    ):
        found, expected = jax.nn.relu(raw_map(name, layer, whose)), np.maximum(CAMS[f"{entry}_{whose}"], 0)
        np.testing.assert_allclose(found, expected, rtol=0, atol=1e-6)


@pytest.mark.parametrize("whose", TARGETS)
def test_a_map_is_shown_upsampled_and_then_divided_by_its_maximum(whose):
    shown = saliency.shown(raw_map("GradCAM", "relu2", whose), *IMAGE.shape[1:3])
    fine = CAMS[f"direct/gradcam_relu2_relu_up_bilinear_{whose}"]
    highest = fine.max((1, 2), keepdims=True)
    np.testing.assert_allclose(shown, fine / np.where(highest > 0, highest, 1), rtol=0, atol=2e-6)
    np.testing.assert_allclose(shown.max((1, 2)), highest[:, 0, 0] > 0, rtol=1e-6)
    # Where some pixel is at 0, a minimum changes nothing, and pytorch-grad-cam shows the same but for its 1e-7.
    theirs = CAMS[f"gradcamlib/GradCAM/relu2_{whose}"]
    same = (fine.min((1, 2)) == 0) & (highest[:, 0, 0] > 0)
    assert same.sum() >= 4
    theirs = theirs[same] / theirs[same].max((1, 2), keepdims=True)
    np.testing.assert_allclose(shown[same], theirs, rtol=0, atol=2e-6)


def test_showing_keeps_axes_flat_maps_are_zeros_and_nan_stays_nan():
    raw = jnp.stack([jnp.full((2, 3), -1.0), jnp.zeros((2, 3)), jnp.full((2, 3), jnp.nan)])
    shown = saliency.shown(raw[:, None], 8, 9)
    assert shown.shape == (3, 1, 8, 9)
    assert (shown[:2] == 0).all()
    assert jnp.isnan(shown[2]).all()


def test_score_cam_is_its_definition_and_chunks_and_classes_change_nothing():
    cut = CUTS["conv2"]
    features = cut.features(IMAGE)
    classes = jnp.stack(list(TARGETS.values()), 1)
    both = jax.jit(functools.partial(saliency.score_cam, chunk=5))(cut, IMAGE, classes)
    masks = saliency.upsample(jnp.moveaxis(features, -1, 0).reshape(-1, 8, 8), 16, 16)
    low, high = masks.min((1, 2), keepdims=True), masks.max((1, 2), keepdims=True)
    masks = ((masks - low) / (high - low)).reshape(12, 8, 16, 16, 1)
    outputs = jnp.stack([jax.jit(logits)(mask * IMAGE) for mask in masks])
    for number, target in enumerate(TARGETS.values()):
        weights = jax.nn.softmax(outputs[:, jnp.arange(8), target], 0)
        np.testing.assert_allclose(both[:, number], jnp.einsum("buvd,db->buv", features, weights), atol=2e-6)


def test_score_cam_refuses_a_head():
    with pytest.raises(TypeError, match="give a cut"):
        saliency.score_cam(head_relu2, CUTS["relu2"].features(IMAGE))


@pytest.mark.parametrize("name", OF_GRADIENT)
def test_a_loss_on_a_map_can_be_differentiated(name):
    """In a curved head's weights and in the features, against finite differences."""
    features = 0.5 + jax.random.uniform(jax.random.key(0), (2, 2, 3, 4))
    kernel = jax.random.normal(jax.random.key(1), (4, 3))

    def maps(kernel, features):
        head = lambda a: jnp.tanh((jnp.asarray(a) ** 2).mean((1, 2)) @ kernel)  # noqa: E731
        return OF_GRADIENT[name](head, jnp.asarray(features), jnp.array([0, 2]))

    check_grads(jax.jit(maps), (kernel, features), order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_a_loss_on_score_cam_can_be_differentiated():
    """In the weights of both halves of the model: what is seen through the channels depends on them too."""
    image = 0.5 + jax.random.uniform(jax.random.key(0), (2, 4, 4, 3))
    weights = jax.random.normal(jax.random.key(1), (3, 2)), jax.random.normal(jax.random.key(2), (2, 3))

    def maps(before, after):
        features = lambda x: jnp.tanh(x[:, ::2, ::2] @ jnp.asarray(before))  # noqa: E731
        model = saliency.cut(features, lambda a: (a**2).mean((1, 2)) @ jnp.asarray(after))
        return saliency.score_cam(model, image, jnp.array([0, 2]), chunk=2)

    check_grads(jax.jit(maps), weights, order=1, modes=["rev"], atol=2e-2, rtol=2e-2)


def test_training_on_layer_cam_lowers_its_loss():
    cut, target = CUTS["relu2"], TARGETS["lab"]
    features = cut.features(IMAGE)

    def loss(kernel):
        cam = saliency.layer_cam(lambda a: a.mean((1, 2)) @ kernel, features, target)
        return (saliency.normalise_max(cam)[:, :4] ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(jnp.ones((12, 5)) + jnp.arange(5) / 5)
    chex.assert_tree_all_finite(gradient)
    step = 0.05 / jnp.abs(gradient).max()
    assert loss(jnp.ones((12, 5)) + jnp.arange(5) / 5 - step * gradient) < value
