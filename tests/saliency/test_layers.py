"""The list of a model's layers: paths, shapes, kinds, calls, and XLA's FLOPs after each."""

import jax
import pytest

from align_jax import saliency
from tests.saliency.small_models import (
    IMAGE,
    NnxTwice,
    NnxViT,
    ResNet,
    Transformed,
    Twice,
    ViT,
    nnx_model,
    variables_of,
)


def by_path(layers):
    return {layer.path: layer for layer in layers}


def flops(function, *arguments):
    return jax.jit(function).lower(*arguments).cost_analysis()["flops"]


def test_the_layers_of_a_compact_network():
    variables = variables_of(ResNet(), train=False)
    listed = saliency.layers(ResNet(), variables, IMAGE, outputs=0, train=False)
    assert [layer.path for layer in listed] == [
        *("block1/conv", "block1/norm", "block1/shortcut", "block1"),
        *("block2/conv", "block2/norm", "block2/shortcut", "block2", "hidden", "logits"),
    ]
    found = by_path(listed)
    assert found["block1"][1:3] == ((2, 16, 16, 8), "spatial")
    assert found["hidden"][1:3] == ((2, 6), "other")
    shares = [found[path].flops_after for path in ("block1", "block2", "hidden", "logits")]
    assert sorted(shares, reverse=True) == shares
    whole = flops(lambda variables, image: ResNet().apply(variables, image, train=False)[0], variables, IMAGE)
    for path in ("block1", "block2"):
        cut = saliency.cut_linen(ResNet(), variables, path, outputs=0, train=False)
        features, head = cut.split(IMAGE)
        after = flops(lambda head, features: head(features), head, features) / whole
        assert found[path].flops_after == pytest.approx(after, rel=0.02)


def test_shapes_alone_are_enough():
    variables = jax.eval_shape(lambda: variables_of(ResNet(), train=False))
    image = jax.ShapeDtypeStruct((1, 224, 224, 3), "float32")
    found = by_path(saliency.layers(ResNet(), variables, image, train=False))
    assert found["block2"].shape == (1, 112, 112, 8)


def test_a_layer_is_listed_once_with_its_calls_and_none_inside_a_loop():
    assert by_path(saliency.layers(Twice(), variables_of(Twice()), IMAGE))["shared"].calls == 2
    found = by_path(saliency.layers(Transformed(), variables_of(Transformed()), IMAGE))
    assert {"saved/step/first", "norm"} <= set(found)
    assert not [path for path in found if "scanned" in path]
    # The loop's body counts as often as it runs: its three pairs of convolutions are 3 of the model's 7, about.
    assert found["compiled1"].calls == 2
    assert found["compiled1"].flops_after == pytest.approx(3 / 7, rel=0.05)
    assert by_path(saliency.layers_nnx(nnx_model(NnxTwice), IMAGE))["shared"].calls == 2


def test_tokens_are_told_from_maps_and_from_heads_of_attention():
    found = by_path(saliency.layers(ViT(), variables_of(ViT()), IMAGE))
    assert found["patches"].kind == "spatial"
    assert found["block_0"][:3] == ("block_0", (2, 17, 8), "tokens")
    assert found["block_0/attention/query"].kind == "other"


def test_layers_of_nnx_and_of_linen_agree_on_the_share():
    linen = by_path(saliency.layers(ViT(), variables_of(ViT()), IMAGE))
    nnx = by_path(saliency.layers_nnx(nnx_model(NnxViT), IMAGE))
    assert nnx["blocks.0.mlp.layers.2"].kind == "tokens"
    assert "unused" not in nnx
    assert nnx["blocks.0"].flops_after == pytest.approx(linen["block_0"].flops_after, rel=0.1)


def test_it_prints_as_a_table():
    lines = str(saliency.layers(Twice(), variables_of(Twice()), IMAGE)).splitlines()
    assert lines[0].split() == ["layer", "output", "kind", "FLOPs", "after", "calls"]
    assert lines[1].split()[:6] == ["shared", "2", "x", "16", "x", "16"]
    assert len({line.index(word) for line, word in zip(lines, ("kind", "spatial", "other"), strict=True)}) == 1
