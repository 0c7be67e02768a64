"""Cuts behind a layer of an NNX model: as those of Linen, and the model itself stays as it is."""

import inspect

import chex
import jax
import jax.numpy as jnp
import pytest
from flax import nnx

from align_jax import saliency
from tests.saliency.small_models import IMAGE, TRACED, NnxTwice, NnxViT, nnx_model

VIT, OTHER = nnx_model(NnxViT), nnx_model(NnxViT, seed=1)


@pytest.mark.parametrize(
    ("model", "layer", "call"),
    [(VIT, "patches", None), (VIT, "blocks.0", None), (VIT, "blocks.1.norm", None), (nnx_model(NnxTwice), "shared", 1)],
)
def test_the_head_of_the_features_is_the_model(model, layer, call):
    whole = model(IMAGE)
    cut = saliency.cut_nnx(model, layer, call=call)
    chex.assert_trees_all_close(cut.outputs(IMAGE), whole, atol=1e-6)
    with jax.disable_jit():
        features, head = cut.split(IMAGE)
        chex.assert_trees_all_equal(head(features), whole)
        assert jnp.abs(head(features + jax.random.normal(jax.random.key(1), features.shape)) - whole).max() > 1e-3


def test_the_features_are_the_layers_output():
    chex.assert_trees_all_close(saliency.cut_nnx(VIT, "patches").features(IMAGE), VIT.patches(IMAGE), atol=1e-6)


def test_the_model_is_not_changed_and_does_not_change_the_cut():
    model = nnx_model(NnxViT)
    before = jax.tree.map(jnp.copy, nnx.as_pure(nnx.state(model)))
    cut = saliency.cut_nnx(model, "blocks.0")
    cam = saliency.grad_cam(cut, IMAGE)
    chex.assert_trees_all_equal(nnx.as_pure(nnx.state(model)), before)
    assert type(model.blocks[0]) is type(model.blocks[1])
    model.logits["linear"].kernel[...] = jnp.zeros((8, 3))
    chex.assert_trees_all_equal(saliency.grad_cam(cut, IMAGE), cam)
    assert (saliency.grad_cam(saliency.cut_nnx(model, "blocks.0"), IMAGE) == 0).all()


def test_another_model_of_the_same_structure_compiles_nothing_anew():
    first = saliency.grad_cam(saliency.cut_nnx(VIT, "blocks.0"), IMAGE)
    before = len(TRACED)
    second = saliency.grad_cam(saliency.cut_nnx(OTHER, "blocks.0"), IMAGE)
    assert len(TRACED) == before
    assert jnp.abs(first - second).max() > 1e-4
    compiled = jax.jit(saliency.grad_cam)(saliency.cut_nnx(OTHER, "blocks.0"), IMAGE)
    chex.assert_trees_all_close(compiled, second, atol=1e-6)


def test_a_model_in_training_mode_is_refused():
    model = NnxViT(nnx.Rngs(0))
    with pytest.raises(ValueError, match=r"NnxViT is in training mode: call model.eval\(\) before the cut"):
        saliency.cut_nnx(model, "blocks.0").features(IMAGE)


@pytest.mark.parametrize(
    ("layer", "sentence"),
    [
        ("blocks.2", "no layer 'blocks.2': the closest are 'blocks.1', 'blocks.0'"),
        ("blocks.1.nrm", "no layer 'blocks.1.nrm': the closest are 'blocks.1.norm'"),
        ("class_token", "'class_token' is a Param, which is no module that is called"),
        ("blocks", "'blocks' is a List, which is no module that is called"),
    ],
)
def test_a_path_to_no_layer_is_refused_at_once(layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        saliency.cut_nnx(VIT, layer)


@pytest.mark.parametrize(
    ("model", "layer", "sentence"),
    [
        (VIT, "unused", "'unused' is never called"),
        (nnx_model(NnxTwice), "shared", "'shared' is called 2 times: choose call=0 to call=1"),
        (nnx_model(NnxTwice), "saved", "'saved' lies inside a transform such as nnx.scan, nnx.remat or nnx.jit"),
    ],
)
def test_a_layer_that_cannot_be_cut_is_refused_when_it_is_used(model, layer, sentence):
    with pytest.raises(ValueError, match=sentence):
        saliency.cut_nnx(model, layer).features(IMAGE)


def test_what_is_no_model_is_refused():
    with pytest.raises(TypeError, match=r"needs a flax.nnx model, and this is a builtin_function_or_method"):
        inspect.unwrap(saliency.cut_nnx)(abs, "blocks.0")
