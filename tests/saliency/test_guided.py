"""Guided backpropagation and deconvolution: captum's values, whatever the model is written in, and honest refusals."""

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from flax import nnx

from align_jax import saliency
from align_jax.saliency.relu_rules import with_relu_rule

from ..explanations.small_network import CUTS, IMAGE, WEIGHTS, logits
from .reference import CAPTUM, TARGETS, compilations

METHODS = {"guided_backprop": saliency.guided_backpropagation, "deconv": saliency.deconvolution}
X = jax.random.normal(jax.random.key(0), (2, 3, 4, 5))
KERNEL = jax.random.normal(jax.random.key(1), (5, 5))


class LinenNetwork(nn.Module):
    @nn.compact
    def __call__(self, x):
        for channels, stride in ((8, 1), (12, 2)):
            x = nn.Conv(channels, (3, 3), stride, padding=1, use_bias=False)(x)
            x = nn.relu(nn.BatchNorm(use_running_average=True, epsilon=1e-5)(x))
        return nn.Dense(5)(x.mean((1, 2)))


class NnxNetwork(nnx.Module):
    def __init__(self):
        rngs = nnx.Rngs(0)
        self.convs = nnx.List(
            nnx.Conv(inside, out, (3, 3), stride, padding=1, use_bias=False, rngs=rngs)
            for inside, out, stride in ((3, 8, 1), (8, 12, 2))
        )
        self.norms = nnx.List(
            nnx.BatchNorm(channels, use_running_average=True, epsilon=1e-5, rngs=rngs) for channels in (8, 12)
        )
        self.dense = nnx.Linear(12, 5, rngs=rngs)
        for number in (1, 2):
            self.convs[number - 1].kernel[...] = WEIGHTS[f"conv{number}/kernel"]
            for name in ("mean", "var", "scale", "bias"):
                getattr(self.norms[number - 1], name)[...] = WEIGHTS[f"bn{number}/{name}"]
        self.dense.kernel[...], self.dense.bias[...] = WEIGHTS["fc/kernel"], WEIGHTS["fc/bias"]

    def __call__(self, x):
        for conv, norm in zip(self.convs, self.norms, strict=True):
            x = nnx.relu(norm(conv(x)))
        return self.dense(x.mean((1, 2)))


def linen(image):
    variables = {"params": {"Dense_0": {"kernel": WEIGHTS["fc/kernel"], "bias": WEIGHTS["fc/bias"]}}, "batch_stats": {}}
    for number in (0, 1):
        weights = {name: WEIGHTS[f"bn{number + 1}/{name}"] for name in ("scale", "bias", "mean", "var")}
        variables["params"][f"Conv_{number}"] = {"kernel": WEIGHTS[f"conv{number + 1}/kernel"]}
        variables["params"][f"BatchNorm_{number}"] = {name: weights[name] for name in ("scale", "bias")}
        variables["batch_stats"][f"BatchNorm_{number}"] = {name: weights[name] for name in ("mean", "var")}
    return LinenNetwork().apply(variables, image)


@pytest.mark.parametrize("model", ["function", "compiled", "cut", "linen", "nnx"])
@pytest.mark.parametrize("name", METHODS)
def test_values_are_captums(name, model):
    models = {"function": logits, "compiled": jax.jit(logits), "cut": CUTS["conv2"], "linen": linen}
    model = NnxNetwork() if model == "nnx" else models[model]
    both = jnp.stack(list(TARGETS.values()), 1)
    found = jax.jit(lambda image: METHODS[name](model, image, both))(IMAGE)
    for number, whose in enumerate(TARGETS):
        np.testing.assert_allclose(found[:, number], CAPTUM[f"{name}_{whose}"], rtol=0, atol=2e-7)


def straight_through(function):
    """The function, with the derivative of x -> 2 x."""
    wrapped = jax.custom_jvp(function)
    wrapped.defjvp(lambda primals, tangents: (function(*primals), 2 * tangents[0]))
    return wrapped


FORMS = {
    "nn.relu": nn.relu,
    "maximum": lambda x: jnp.maximum(x, 0),
    "maximum, swapped": lambda x: jnp.maximum(0.0, x),
    "maximum of zeros": lambda x: jnp.maximum(x, jnp.zeros_like(x)),
    "where": lambda x: jnp.where(x > 0, x, 0),
    "where, swapped": lambda x: jnp.where(jnp.less_equal(0, x), x, 0),
    "where, by what is closed": lambda x: jnp.where(x <= 0, 0, x),
    "where, by what is closed, swapped": lambda x: jnp.where(jnp.greater(0, x), jnp.zeros_like(x), x),
    "where, denied": lambda x: jnp.where(~(x > 0), 0, x),
    "product": lambda x: x * (x > 0),
    "product, swapped": lambda x: (x > 0).astype(x.dtype) * x,
    "product with a choice": lambda x: x * jnp.where(x >= 0, 1.0, 0.0),
    "in another type": lambda x: (x.astype(jnp.bfloat16) > 0) * x,
    "relu6 below its ceiling": lambda x: 10 * nn.relu6(x / 10),
    "a derivative of its own": straight_through(nn.relu),
    "clip": lambda x: jnp.clip(x, 0),
    "compiled": jax.jit(lambda x: jnp.maximum(x, 0)),
    "checkpoint": jax.checkpoint(nn.relu),
    "scan": lambda x: jax.lax.scan(lambda c, w: (nn.relu(c), None), x, jnp.ones(1))[0],
    "cond": lambda x: jax.lax.cond(x.sum() > -1e9, nn.relu, lambda x: x, x),
}


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("name", METHODS)
def test_every_form_of_a_relu_is_found(name, form):
    """By hand: of R = W, the columns that are positive, and (guided) only where x is."""
    found = METHODS[name](lambda x: FORMS[form](x).sum((1, 2)) @ KERNEL, X, 1)
    passed = jnp.broadcast_to(jnp.maximum(KERNEL[:, 1], 0), X.shape)
    chex.assert_trees_all_close(found, passed * (X > 0) if name == "guided_backprop" else passed, rtol=1e-5)


def test_outputs_keep_their_values_and_what_is_no_relu_its_gradient():
    """Max pooling, the variance of a GroupNorm, a softmax, relu6's ceiling, a derivative of one's own."""

    @jax.custom_jvp
    def doubled(x):
        return 1.0 * x

    doubled.defjvp(lambda primals, tangents: (doubled(*primals), 2 * tangents[0]))
    norm = nn.GroupNorm(num_groups=1, use_bias=False, use_scale=False)

    def model(x, relu):
        x = nn.max_pool(norm.apply({}, x), (2, 2))
        x = nn.softmax(jnp.minimum(relu(doubled(x)), 1.0)) * jnp.where(x.sum() > 1e9, 0.0, 1.0)
        return {"y": x.sum((1, 2)) @ KERNEL}

    same = jax.custom_vjp(nn.relu)
    same.defvjp(lambda x: (nn.relu(x), x > 0), lambda opened, above: (above * opened,))
    given, found = (lambda x: model(x, nn.relu)), with_relu_rule(lambda x: model(x, nn.relu), same, "test")
    chex.assert_trees_all_close(found(X), given(X), rtol=1e-6)
    target = lambda outputs: outputs["y"][:, 2]  # noqa: E731
    chex.assert_trees_all_close(
        saliency.gradient(found, X, target), saliency.gradient(given, X, target), rtol=1e-5, atol=1e-7
    )


def test_guided_gradients_differ_through_a_group_norm_only_at_its_relu():
    """The GroupNorm's maximum of 0 and a variance is no ReLU."""
    norm = nn.GroupNorm(num_groups=1, use_bias=False, use_scale=False)
    model = lambda x: norm.apply({}, nn.relu(x)).reshape(2, -1) @ jnp.ones((60, 1)).at[::3].set(-2.0)  # noqa: E731
    after = lambda x: norm.apply({}, x).reshape(2, -1) @ jnp.ones((60, 1)).at[::3].set(-2.0)  # noqa: E731
    above = saliency.gradient(after, nn.relu(X), 0)
    chex.assert_trees_all_close(
        saliency.guided_backpropagation(model, X, 0), jnp.maximum(above, 0) * (X > 0), rtol=1e-4, atol=1e-6
    )


@pytest.mark.parametrize(
    ("activation", "name"),
    [
        (nn.gelu, "tanh"),
        (lambda x: nn.gelu(x, approximate=False), "erf"),
        (nn.silu, "silu"),
        (nn.leaky_relu, "leaky_relu"),
        (lambda x: jnp.where(x >= 0, x, 0.1 * x), "leaky_relu"),
        (lambda x: jnp.where(x < 0, 0.2 * x, x), "leaky_relu"),
        (lambda x: jnp.where(jnp.greater_equal(0, x), x / 5, x), "leaky_relu"),
        (lambda x: jnp.maximum(x, 0.1 * x), "leaky_relu"),
        (lambda x: jnp.maximum(x / 10, x), "leaky_relu"),
        (lambda x: x * jnp.where(x > 0, 1.0, 0.1), "leaky_relu"),
        (lambda x: jnp.maximum(x, x * jnp.abs(KERNEL[0])), "leaky_relu"),
        (straight_through(jnp.tanh), "tanh"),
        (nn.elu, "elu"),
        (nn.softplus, "softplus"),
        (nn.sigmoid, "sigmoid"),
        (nn.hard_swish, "hard_s"),
    ],
)
def test_another_activation_is_refused_by_name(activation, name):
    with pytest.raises(ValueError, match=f"deconvolution is defined for ReLU alone, and the model has .*{name}"):
        saliency.deconvolution(lambda x: activation(nn.relu(x)).sum((1, 2)), X, 0)


@pytest.mark.parametrize("name", METHODS)
def test_what_is_no_activation_is_neither_changed_nor_refused(name):
    """A safe divisor, an absolute value, a part below 0, a larger threshold; all of them before a ReLU."""
    for other in (
        lambda x: x / jnp.where(x > 0, x, 1.0),
        lambda x: jnp.where(x > 0, x, -x),
        lambda x: x * (x < 0),
        lambda x: jnp.where(x > 0.3, x, 0),
        lambda x: x * (x[:, ::-1] > 0),
        lambda x: jnp.maximum(x, x**2),
    ):
        found = METHODS[name](lambda x, other=other: nn.relu(other(x) + 9).sum((1, 2)) @ jnp.abs(KERNEL), X, 1)
        expected = jax.grad(lambda x, other=other: (other(x).sum((0, 1, 2)) @ jnp.abs(KERNEL))[1])(X)
        chex.assert_trees_all_close(found, expected, rtol=1e-5)


STEPS = {
    "where": lambda x: jnp.where(x > 0, 1.0, 0.0),
    "maximum": lambda x: jnp.maximum(jnp.sign(x), -0.5),
    "another threshold": lambda x: jnp.where(x > 0.5, x, 0),
}


@pytest.mark.parametrize("name", STEPS)
def test_a_function_keeps_its_own_derivative(name):
    """Its slope is 2, and the ReLU behind it is open everywhere."""
    model = lambda x: nn.relu(straight_through(STEPS[name])(x) + 9).sum((1, 2)) @ jnp.abs(KERNEL)  # noqa: E731
    found = saliency.guided_backpropagation(model, X, 1)
    chex.assert_trees_all_close(found, jnp.broadcast_to(2 * jnp.abs(KERNEL[:, 1]), X.shape), rtol=1e-5)


def test_a_relu_in_a_function_with_its_own_derivative_is_refused():
    block = straight_through(lambda x: nn.relu(x) ** 2 + x)
    with pytest.raises(ValueError, match="the ReLU inside of a function with a derivative of its own"):
        saliency.guided_backpropagation(lambda x: nn.relu(block(x)).sum((1, 2)), X, 0)


def test_a_model_without_a_relu_is_refused():
    with pytest.raises(ValueError, match=r"guided_backpropagation changes .* and the model has none"):
        saliency.guided_backpropagation(lambda x: nn.softmax(x.mean((1, 2)) @ KERNEL), X, 0)


@pytest.mark.parametrize("form", ["nn.relu", "maximum"])
def test_a_relu_out_of_reach_is_refused(form):
    loop = lambda x: jax.lax.while_loop(lambda x: x.sum() > 1e9, FORMS[form], nn.relu(x))  # noqa: E731
    with pytest.raises(ValueError, match="does not reach the ReLU inside of while"):
        saliency.guided_backpropagation(lambda x: loop(x).sum((1, 2)), X, 0)


def test_called_eagerly_nothing_is_compiled_again(caplog):
    def call():
        return saliency.guided_backpropagation(linen, IMAGE, TARGETS["lab"])

    assert compilations(caplog, call) > 0
    assert compilations(caplog, call) == 0
