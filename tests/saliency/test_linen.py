"""Cuts behind a layer of a Linen module: exact, without the backbone in the head's program, and with clear refusals."""

import inspect
import re

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from align_jax import saliency
from tests.saliency.small_models import IMAGE, TRACED, Block, ResNet, Transformed, Twice, UNet, ViT, variables_of

RESNET = ResNet(config={"un": "hashable"})
FIRST, SECOND = (variables_of(RESNET, seed, train=False) for seed in (0, 1))


def cut_resnet(layer="block2", variables=FIRST, **arguments):
    return saliency.cut_linen(RESNET, variables, layer, **{"outputs": FIRST_OF, "train": False} | arguments)


def FIRST_OF(returned):
    return returned[0]


def flops(function, *arguments):
    return jax.jit(function).lower(*arguments).compile().cost_analysis()["flops"]


EXACT = (
    (RESNET, "block1", {"outputs": FIRST_OF, "train": False}),
    (UNet(), "inner", {}),
    (Twice(), "shared", {"call": 1}),
    (ViT(), "block_1/norm1", {}),
    (Transformed(), "saved/step/first", {}),
)


@pytest.mark.parametrize(("module", "layer", "arguments"), EXACT, ids=lambda value: str(value)[:20])
def test_the_head_of_the_features_is_the_model(module, layer, arguments):
    """Bit for bit where operations run one by one; compiled programs fuse them, which rounds otherwise."""
    asked = {name: value for name, value in arguments.items() if name == "train"}
    variables = variables_of(module, **asked)
    whole = module.apply(variables, IMAGE, **asked)
    whole = whole[0] if "outputs" in arguments else whole
    cut = saliency.cut_linen(module, variables, layer, **arguments)
    chex.assert_trees_all_close(cut.outputs(IMAGE), whole, atol=1e-6)
    with jax.disable_jit():
        features, head = cut.split(IMAGE)
        chex.assert_trees_all_equal(head(features), module.apply(variables, IMAGE, **asked)[0] if asked else whole)
        # The head does read what it is given.
        assert jnp.abs(head(features + jax.random.normal(jax.random.key(1), features.shape)) - whole).max() > 1e-3


@pytest.mark.parametrize("block", ["saved", "compiled1", "compiled2"])
def test_the_features_are_what_linen_captures(block):
    """Under nn.remat and nn.jit too, where two blocks of one kind share their trace."""
    variables = variables_of(Transformed())
    _, captured = Transformed().apply(variables, IMAGE, capture_intermediates=True)
    found = saliency.cut_linen(Transformed(), variables, f"{block}/step/first").features(IMAGE)
    (expected,) = captured["intermediates"][block]["step"]["first"]["__call__"]
    chex.assert_trees_all_close(found, expected, atol=1e-6)


def test_the_map_is_that_of_the_same_network_written_as_features_and_head():
    """Grad-CAM of ResNet's last block, whose head is written out by hand."""

    def head(features):
        params = FIRST["params"]
        hidden = jnp.tanh(features.mean((1, 2)) @ params["hidden"]["kernel"] + params["hidden"]["bias"])
        return hidden @ params["logits"]["kernel"] + params["logits"]["bias"]

    features = RESNET.apply(FIRST, IMAGE, train=False)[1]["map"]
    label = jnp.array([0, 2])
    expected = saliency.grad_cam(head, features, label)
    assert expected.shape == (2, 8, 8)
    found = saliency.grad_cam(cut_resnet(), IMAGE, label)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-7)
    chex.assert_trees_all_close(jax.jit(saliency.grad_cam)(cut_resnet(), IMAGE, label), found, atol=1e-7)


def test_the_heads_program_does_not_compute_the_backbone():
    whole = flops(lambda variables, image: RESNET.apply(variables, image, train=False)[0], FIRST, IMAGE)
    features, head = cut_resnet().split(IMAGE)
    assert flops(lambda head, features: head(features), head, features) < 0.02 * whole
    # What is explained by the gradient, in one program: one pass to the features.
    assert flops(saliency.grad_cam, cut_resnet(), IMAGE, jnp.array([0, 1])) < 1.1 * whole
    # Nor do the features compute what lies after them.
    assert flops(lambda cut, image: cut.features(image), cut_resnet("block1"), IMAGE) < 0.8 * whole


def test_other_variables_compile_nothing_anew():
    with jax.checking_leaks():
        first = saliency.grad_cam(cut_resnet(), IMAGE)
    before = len(TRACED)
    assert before
    second = saliency.grad_cam(cut_resnet(variables=SECOND), IMAGE)
    assert len(TRACED) == before
    assert jnp.abs(first - second).max() > 1e-3
    explain = jax.jit(saliency.grad_cam)
    explain(cut_resnet(), IMAGE)
    before = len(TRACED)
    chex.assert_trees_all_close(explain(cut_resnet(variables=SECOND), IMAGE), second, atol=1e-6)
    assert len(TRACED) == before
    saliency.grad_cam(cut_resnet("block1/norm"), IMAGE)  # lest nothing were counted
    assert len(TRACED) > before


def test_equal_modules_share_their_programs():
    def traces(module):
        before = len(TRACED)
        found.append(saliency.cut_linen(module, FIRST, "block2", outputs=0, train=False).outputs(IMAGE))
        return len(TRACED) - before

    found = []
    assert traces(ResNet())
    assert not traces(ResNet())
    # A dict is not hashable, so that a module with one stands for itself alone.
    assert traces(ResNet(config={"some": 1}))
    assert traces(ResNet(config={"some": 1}))
    for outputs in found:
        chex.assert_trees_all_close(outputs, found[0], atol=1e-6)


def test_modules_with_other_fields_do_not_share_theirs():
    class Scaled(nn.Module):
        scale: float

        @nn.compact
        def __call__(self, image):
            return self.scale * Block(4, name="block")(image).mean((1, 2))

    variables = variables_of(Scaled(1.0))
    once, twice = (saliency.cut_linen(Scaled(s), variables, "block").outputs(IMAGE) for s in (1.0, 2.0))
    chex.assert_trees_all_close(twice, 2 * once, rtol=1e-5)


def test_a_map_is_differentiable_in_the_models_variables():
    def loss(params):
        return (saliency.grad_cam(cut_resnet(variables=FIRST | {"params": params}), IMAGE, 1) ** 2).sum()

    gradient = jax.jit(jax.grad(loss))(FIRST["params"])
    assert all(jnp.abs(gradient["block1"]["conv"]["kernel"]).max(axis=(0, 1, 2)) > 0)


def test_statistics_are_read_and_not_changed():
    before = jax.tree.map(jnp.copy, FIRST)
    saliency.grad_cam(cut_resnet(), IMAGE)
    chex.assert_trees_all_equal(FIRST, before)
    with pytest.raises(ValueError, match=r"ResNet changes its variables .* such as train=False"):
        cut_resnet(train=True).features(IMAGE)


@pytest.mark.parametrize("outputs", [0, FIRST_OF, lambda y: y[1]["hidden"]])
def test_outputs_are_chosen_by_place_or_function(outputs):
    assert cut_resnet(outputs=outputs).outputs(IMAGE).shape in ((2, 3), (2, 6))
    assert cut_resnet(outputs=lambda y: y).outputs(IMAGE)[1]["hidden"].shape == (2, 6)


def test_outputs_are_chosen_by_name():
    class Named(nn.Module):
        @nn.compact
        def __call__(self, image, scale):
            x = Block(4, name="block")(image)
            return {"logits": scale * x.mean((1, 2)), "items": x}

    variables, scale = variables_of(Named(), scale=1.0), jnp.array([1.0, 2.0, 3.0, 4.0])
    cut = saliency.cut_linen(Named(), variables, "block", outputs="logits", scale=scale)
    chex.assert_trees_all_close(cut.outputs(IMAGE), cut.features(IMAGE).mean((1, 2)) * scale, rtol=1e-5)
    assert saliency.cut_linen(Named(), variables, "block", outputs="items", scale=scale).outputs(IMAGE).ndim == 4
    with pytest.raises(
        ValueError, match=r"outputs='logit' chooses nothing of a dict with (items, logits|logits, items)"
    ):
        saliency.cut_linen(Named(), variables, "block", outputs="logit", scale=scale).outputs(IMAGE)


REFUSED = (
    (RESNET, "blok2", {"train": False}, "no layer 'blok2': the closest are 'block2', 'block1'"),
    (RESNET, "", {"train": False}, "no layer '': the closest are"),
    (RESNET, "block2/covn", {"train": False}, "no layer 'block2/covn': the closest are 'block2/conv'"),
    (RESNET, "block2", {"train": False}, r"returns a tuple of 2: choose its logits, such as outputs=0"),
    (RESNET, "block2", {"train": False, "outputs": 2}, "outputs=2 chooses nothing of a tuple of 2"),
    (RESNET, "hidden", {"train": False}, r"'hidden' has the shape \[2, 6\], which is neither a map"),
    (RESNET, "block2", {"train": False, "tokens": saliency.Tokens()}, r"is a map, \[2, 8, 8, 8\]: leave out tokens="),
    (Twice(), "shared", {}, "'shared' is called 2 times: choose call=0 to call=1"),
    (Twice(), "shared", {"call": 2}, "call=2 does not exist: 'shared' is called 2 times"),
    (Twice(), "logits", {"call": -1}, "call=-1 does not exist: 'logits' is called 1 times"),
    (Transformed(), "scanned/second", {}, "'scanned/second' lies inside a transform such as nn.scan.*before or after"),
    (Transformed(), "scanned", {}, "'scanned' lies inside a transform such as nn.scan"),
    (ViT(), "block_0", {}, r"'block_0' returns a tuple of 2: choose one array, such as features=0"),
    (ViT(), "block_0", {"features": lambda y: 2 * y[0]}, "must choose one of the arrays that 'block_0' returns"),
)


@pytest.mark.parametrize(("module", "layer", "arguments", "sentence"), REFUSED, ids=lambda value: str(value)[:25])
def test_wrong_layers_are_refused_in_one_sentence(module, layer, arguments, sentence):
    asked = {name: value for name, value in arguments.items() if name == "train"}
    cut = saliency.cut_linen(module, variables_of(module, **asked), layer, **arguments)
    with pytest.raises(ValueError, match=sentence) as refusal:
        cut.outputs(IMAGE)
    assert not re.search(r"\. [A-Z]|\n", str(refusal.value))


def test_what_is_no_module_or_no_variables_is_refused_at_once():
    class Holder:
        module = RESNET

    without_type_checks = inspect.unwrap(saliency.cut_linen)
    with pytest.raises(TypeError, match=r"needs a flax.linen module, and this is a Holder: give its .module"):
        without_type_checks(Holder(), FIRST, "block2")
    with pytest.raises(ValueError, match=r'without "params": give \{"params": params\}'):
        saliency.cut_linen(RESNET, FIRST["params"], "block2")
    with pytest.raises(TypeError, match=r"sizes=.* is neither an array nor hashable"):
        saliency.cut_linen(RESNET, FIRST, "block2", sizes=[1, 2])


def test_features_of_another_shape_are_refused():
    features, head = cut_resnet().split(IMAGE)
    with pytest.raises(ValueError, match=r"shape \[2, 8, 8, 4\] do not fit 'block2', whose output is \[2, 8, 8, 8\]"):
        head(features[..., :4])
