"""What a round computes in which precision with `config.classifier.dtype=bfloat16`, read off the traced program."""

import functools

import jax
import jax.numpy as jnp
import pytest

from align_jax.configuration import default_config
from align_jax.data.normalise import as_network_input
from align_jax.fills import FILLS
from align_jax.models.build import build_classifier, build_masker
from align_jax.states import create_classifier_state, create_masker_state
from align_jax.steps import MaskerUpdate, align_round
from tests.small_networks import small_updates

KEY = jax.random.key(0)
SIZE = 32


def all_equations(jaxpr):
    """The equations of a program and of all that it calls."""
    for equation in jaxpr.eqns:
        yield equation
        for parameter in equation.params.values():
            for inner in parameter if isinstance(parameter, tuple | list) else (parameter,):
                inner = getattr(inner, "jaxpr", inner)
                if hasattr(inner, "eqns"):
                    yield from all_equations(inner)


@functools.cache
def traced_round(dtype):
    """The program of a round, and the shapes of what it returns."""
    config = default_config()
    config.classifier.name, config.classifier.dtype, config.masker.widths = "resnet_small", dtype, (4, 8)
    classifier, masker = small_updates(swapped_cls=0.5)
    classifier = classifier._replace(network=build_classifier(config, 3))
    masker = MaskerUpdate(build_masker(config), masker.objective, masker.optimizer, FILLS["blur"])
    image = jnp.zeros((1, SIZE, SIZE, 3))
    states = (
        jax.eval_shape(lambda: create_classifier_state(classifier.network, classifier.optimizer, KEY, image)),
        jax.eval_shape(lambda: create_masker_state(masker.network, masker.optimizer, KEY, image)),
    )
    batch = {
        "image": jax.ShapeDtypeStruct((6, SIZE, SIZE, 3), jnp.uint8),
        "label": jax.ShapeDtypeStruct((6,), jnp.int32),
    }
    advance = lambda states, batch: align_round(classifier, masker, *states, [as_network_input(batch)], KEY)  # noqa: E731
    program, returned = jax.make_jaxpr(advance, return_shape=True)(states, batch)
    return list(all_equations(program.jaxpr)), states, returned


def types(equations, *primitives):
    """The types of the floating-point results of these primitives."""
    results = [result.aval.dtype for e in equations if e.primitive.name in primitives for result in e.outvars]
    return {str(dtype) for dtype in results if jnp.issubdtype(dtype, jnp.floating)}


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_both_networks_convolve_in_it(dtype):
    equations, *_ = traced_round(dtype)
    assert types(equations, "convolution") == {dtype}


def test_softmax_losses_sigmoid_and_normalised_maps_are_float32():
    """exp and log: softmax, cross-entropy, BCE; minima and maxima over a map: how a Grad-CAM is normalised."""
    equations, *_ = traced_round("bfloat16")
    sensitive = ("exp", "exp2", "log", "log1p", "logistic", "div", "rsqrt", "reduce_min", "reduce_max")
    assert types(equations, *sensitive) == {"float32"}
    # So that the test can fail: some elementwise work is in half precision.
    assert "bfloat16" in types(equations, "max", "add", "select_n")


def test_states_and_metrics_are_float32():
    _, states, (classifier_state, masker_state, metrics) = traced_round("bfloat16")
    for before, after in zip(states, (classifier_state, masker_state), strict=True):
        assert jax.tree.map(lambda leaf: leaf.dtype, before) == jax.tree.map(lambda leaf: leaf.dtype, after)
    leaves = jax.tree.leaves((classifier_state.params, masker_state.params, metrics))
    assert {str(leaf.dtype) for leaf in leaves} == {"float32"}
