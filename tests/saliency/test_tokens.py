"""Tokens as maps: what is inferred, what is refused, and the warning where no gradient reaches the patches."""

import warnings

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import pytest

from align_jax import saliency
from align_jax.saliency.reach import reads_last_input
from align_jax.saliency.tokens import Tokens, join
from tests.saliency.small_models import IMAGE, Encoder, NnxViT, ViT, nnx_model, variables_of

UNREAD = "no gradient reaches the patches"
VARIABLES = variables_of(ViT())


@pytest.mark.parametrize(
    ("tokens", "count", "height", "width", "expected"),
    [
        (Tokens(), 197, 224, 224, ((14, 14), 1)),
        (Tokens(), 196, 224, 224, ((14, 14), 0)),
        (Tokens(), 198, 224, 224, ((14, 14), 2)),
        (Tokens(), 261, 224, 224, ((16, 16), 5)),
        (Tokens(), 51, 80, 160, ((5, 10), 1)),
        (Tokens(prefix=0), 9, 32, 32, ((3, 3), 0)),
        (Tokens(grid=(12, 17)), 205, 192, 272, ((12, 17), 1)),
        (Tokens((2, 6), 3), 15, 32, 32, ((2, 6), 3)),
    ],
)
def test_grid_and_prefix_are_inferred_where_one_answer_fits(tokens, count, height, width, expected):
    assert tokens.resolved(count, height, width) == expected


@pytest.mark.parametrize(
    ("tokens", "count", "size", "sentence"),
    [
        (
            Tokens(),
            9,
            32,
            r"9 tokens may be Tokens\(grid=\(3, 3\), prefix=0\) or Tokens\(grid=\(2, 2\), prefix=5\): say",
        ),
        (
            Tokens(),
            190,
            224,
            "190 tokens of an image of 224 x 224 are no grid of square patches after 5 or fewer other",
        ),
        (Tokens(prefix=0), 197, 224, "are no grid of square patches after 0 other tokens"),
        (Tokens((14, 14), 0), 197, 224, r"does not fit a layer of 197 tokens: rows x columns \+ prefix must be 197"),
        (Tokens((15, 15)), 197, 224, "the grid has 225 patches"),
        (Tokens((0, 14), 197), 197, 224, "does not fit"),
    ],
)
def test_what_does_not_fit_or_is_ambiguous_is_refused(tokens, count, size, sentence):
    with pytest.raises(ValueError, match=sentence):
        tokens.resolved(count, size, size)


def test_joining_undoes_splitting_and_patches_lie_row_by_row():
    tokens = jax.random.normal(jax.random.key(0), (2, 7, 3))
    before, patches = Tokens((2, 3), 1).split(tokens, 8, 8)
    chex.assert_trees_all_equal(patches[:, 1, 0], tokens[:, 4])
    chex.assert_trees_all_equal(join(before, patches), tokens)


def test_the_map_of_tokens_is_grad_cam_over_the_patches():
    """By hand, from what Linen captures of the layer, and from what follows it written out."""
    params, width = VARIABLES["params"], 8
    _, captured = ViT().apply(VARIABLES, IMAGE, capture_intermediates=True)
    tokens = captured["intermediates"]["block_0"]["__call__"][0][0]

    def of_class(patches):
        given = jnp.concatenate([tokens[:, :1], patches.reshape(2, 16, width)], 1)
        after, _ = Encoder().apply({"params": params["block_1"]}, given)
        last = nn.LayerNorm().apply({"params": params["norm"]}, after)[:, 0]
        return nn.Dense(3).apply({"params": params["logits"]}, last)[:, 1].sum()

    patches = tokens[:, 1:].reshape(2, 4, 4, width)
    expected = jnp.einsum("bhwc,bc->bhw", patches, jax.grad(of_class)(patches).mean((1, 2)))
    assert jnp.abs(expected).max() > 1e-4
    found = saliency.grad_cam(saliency.cut_linen(ViT(), VARIABLES, "block_0", features=0), IMAGE, 1)
    chex.assert_trees_all_close(found, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize(
    ("make", "remedy"),
    [
        (lambda: saliency.cut_linen(ViT(), VARIABLES, "block_1", features=0), "the layer before, 'block_0'"),
        (lambda: saliency.cut_linen(ViT(), VARIABLES, "block_1/mlp"), "the layer before, 'block_0/mlp'"),
        (lambda: saliency.cut_linen(ViT(), VARIABLES, "norm"), "one before the last attention"),
        (lambda: saliency.cut_nnx(nnx_model(NnxViT), "blocks.1"), "the layer before, 'blocks.0'"),
    ],
)
def test_a_zero_map_is_said(make, remedy, compiled):
    """Once, when the program is traced. A cut of a module made anew is traced anew."""
    jax.clear_caches()
    explain = jax.jit(saliency.grad_cam) if compiled else saliency.grad_cam
    with pytest.warns(UserWarning, match=f"{UNREAD}.*{remedy}"):
        cam = explain(make(), IMAGE)
    assert (cam == 0).all()


@pytest.mark.parametrize("layer", ["block_0", "block_1/norm1", "patches"])
def test_a_map_that_is_not_zero_comes_without_a_warning(layer):
    cut = saliency.cut_linen(ViT(), VARIABLES, layer, features=0 if layer == "block_0" else None)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        assert jnp.abs(saliency.grad_cam(cut, IMAGE)).max() > 0


def halves(function, *shape):
    """Of a function of an array, whether it reads the second half of an array whose first half it is given, too."""
    both = lambda first, second: function(jnp.concatenate([first, second], 1))  # noqa: E731
    half = jnp.ones(shape)
    return reads_last_input(jax.make_jaxpr(both)(half, half))


WEIGHT = jnp.ones((3, 3))


@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x[:, :2], False),
        (lambda x: x[:, :2:2].sum(), False),
        (lambda x: x[:, 2:], True),
        (lambda x: (x @ WEIGHT)[:, 1], False),
        (lambda x: jnp.swapaxes(x, 1, 2)[:, :, 0] + 1, False),
        (lambda x: jnp.einsum("bnc,bmc->bnm", x, x)[:, 0], True),
        (lambda x: jnp.einsum("bnc,bmc->bnm", x, x)[:, 0, 0], False),
        (lambda x: jnp.einsum("bnm,bmc->bnc", jnp.einsum("bnc,bmc->bnm", x, x), x)[:, 0], True),
        (lambda x: jax.nn.relu(x - x.mean(-1, keepdims=True)).max(-1)[:, 0], False),
        (lambda x: (x - x.mean(1, keepdims=True))[:, 0], True),
        (lambda x: x.reshape(2, 4 * 3)[:, 5], False),
        (lambda x: x.reshape(2, 4 * 3)[:, 6], True),
        (lambda x: jax.checkpoint(jnp.tanh)(x)[:, 0], False),
        (lambda x: jax.lax.optimization_barrier((x, WEIGHT))[0][:, 0], False),
        (lambda x: jax.lax.optimization_barrier((WEIGHT[:, :, None], x))[1], True),
        (lambda x: jnp.where(x > 0, x, WEIGHT[0])[:, 0], False),
        (lambda x: jnp.cumsum(x, 1)[:, 0], True),  # not known, so it counts as read
        (lambda x: jax.lax.scan(lambda carry, row: (carry, 2 * row), 0, x)[1][:, 0], True),
    ],
)
def test_what_a_program_reads(function, expected):
    assert halves(function, 2, 2, 3) == expected
