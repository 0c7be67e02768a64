import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx
from scipy.stats import spearmanr

from align_jax import saliency
from align_jax.explanations import from_the_logits, random_class, randomised, rank_correlation

MAPS = jax.random.normal(jax.random.key(0), (2, 6, 5, 7))


def test_rank_correlation_is_spearmans():
    for first, second in (MAPS, jnp.floor(2 * MAPS)):  # without, and with many equal values
        expected = [spearmanr(a.ravel(), b.ravel()).statistic for a, b in zip(first, second, strict=True)]
        np.testing.assert_allclose(rank_correlation(first, second), expected, atol=1e-5)
    np.testing.assert_allclose(rank_correlation(MAPS[0], jnp.exp(MAPS[0])), 1, atol=1e-6)
    np.testing.assert_allclose(rank_correlation(MAPS[0], -MAPS[0]), -1, atol=1e-6)
    assert np.isnan(rank_correlation(MAPS[0], jnp.zeros_like(MAPS[0]))).all()


class Network(nn.Module):
    @nn.compact
    def __call__(self, image):
        x = nn.relu(nn.Conv(8, (3, 3), name="first")(image))
        x = nn.relu(nn.BatchNorm(True, name="norm")(nn.Conv(8, (3, 3), name="second")(x)))
        return nn.Dense(3, name="logits")(x.mean((1, 2)))


IMAGE = jax.random.normal(jax.random.key(1), (4, 8, 8, 3))
MODEL = Network()
TRAINED, FRESH = (MODEL.init(jax.random.key(seed), IMAGE) for seed in (2, 3))


def gradient(variables):
    score = lambda image: MODEL.apply(variables, image)[:, 0].sum()  # noqa: E731
    return jax.grad(score)(IMAGE).sum(-1)


def test_layers_are_randomised_from_the_top_and_stay_so():
    seen = []
    explain = lambda variables: seen.append(variables) or gradient(variables)  # noqa: E731
    found = randomised(explain, TRAINED, FRESH, ("logits", "second", "norm", "first"))
    assert list(found) == ["logits", "second", "norm", "first"]
    for count, variables in enumerate(seen):
        for number, layer in enumerate(found):
            expected = FRESH if number < count else TRAINED
            jax.tree.map(np.testing.assert_array_equal, variables["params"][layer], expected["params"][layer])
    expected = rank_correlation(jnp.abs(gradient(TRAINED)), jnp.abs(gradient(FRESH)))
    np.testing.assert_allclose(found["first"], expected, atol=1e-5)
    assert jnp.abs(found["first"]).mean() < 0.5


def test_a_map_of_the_image_alone_fails_the_check():
    edges = jnp.abs(IMAGE).sum(-1)
    for value in randomised(lambda variables: edges, TRAINED, FRESH, ("logits", "first")).values():
        np.testing.assert_allclose(value, 1, atol=1e-6)


def test_an_unknown_layer_is_refused():
    with pytest.raises(
        ValueError,
        match="no variables have the layer 'top': their paths begin with batch_stats/norm, params/first, params/logits",
    ):
        randomised(gradient, TRAINED, FRESH, ("top",))


def test_the_random_class_is_another_one():
    label = jnp.arange(300) % 4
    other = random_class(jax.random.key(0), label, 4)
    assert (other != label).all()
    assert ((other >= 0) & (other < 4)).all()
    assert sorted(set(((other - label) % 4).tolist())) == [1, 2, 3]
    with pytest.raises(ValueError, match="1 class has no other class"):
        random_class(jax.random.key(0), label * 0, 1)


def test_the_class_moves_a_map_that_depends_on_it():
    logits = lambda features: features.mean((1, 2)) @ jax.random.normal(jax.random.key(4), (3, 4))  # noqa: E731
    label = jnp.arange(4)
    other = random_class(jax.random.key(0), label, 4)
    maps = (saliency.grad_cam(logits, IMAGE, label), saliency.grad_cam(logits, IMAGE, other))
    assert (rank_correlation(*maps) < 0.999).all()


def test_the_order_is_that_of_the_layers_from_the_logits_without_those_that_have_no_variables():
    paths = [layer.path for layer in saliency.layers(MODEL, TRAINED, IMAGE)]
    assert from_the_logits(paths, TRAINED) == ["logits", "norm", "second", "first"]


class Block(nnx.Module):
    def __init__(self, rngs):
        self.conv = nnx.Conv(3, 8, (3, 3), rngs=rngs)

    def __call__(self, image):
        return nnx.relu(self.conv(image))


class Blocks(nnx.Module):
    def __init__(self, rngs):
        self.blocks = nnx.List([Block(rngs)])
        self.conv = nnx.Conv(8, 8, (1, 1), rngs=rngs)
        self.logits = nnx.Linear(8, 3, rngs=rngs)

    def __call__(self, image):
        return self.logits(nnx.relu(self.conv(self.blocks[0](image))).mean((1, 2)))


def test_an_nnx_model_is_randomised_by_the_paths_of_its_layers():
    trained, fresh = (Blocks(nnx.Rngs(seed)) for seed in (0, 1))
    definition, state = nnx.split(trained)
    order = from_the_logits([layer.path for layer in saliency.layers_nnx(trained, IMAGE)], state)
    assert order == ["logits", "conv", "blocks.0.conv"]
    seen = []

    def explain(state):
        seen.append(nnx.to_pure_dict(state))
        return saliency.grad_cam(saliency.cut_nnx(nnx.merge(definition, state), "conv"), IMAGE, 0)

    found = randomised(explain, state, nnx.split(fresh)[1], order)
    assert list(found) == order
    new, old = (nnx.to_pure_dict(nnx.state(model)) for model in (fresh, trained))
    same = jax.tree.map(
        lambda *arrays: bool(np.array_equal(*arrays)), seen[2], {**old, "logits": new["logits"], "conv": new["conv"]}
    )
    assert all(jax.tree.leaves(same)), "the block's own convolution is trained until its turn"
    # The block's own convolution is trained until its turn.
    chex.assert_trees_all_equal(seen[2], old | {"logits": new["logits"], "conv": new["conv"]})
    chex.assert_trees_all_equal(seen[3], new)


def test_variables_of_another_model_are_refused():
    with pytest.raises(ValueError, match="initialise the same model, by its own init"):
        randomised(gradient, TRAINED, {"params": FRESH["params"]}, ("logits",))
