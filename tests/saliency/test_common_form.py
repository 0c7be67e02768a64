"""What holds for every attribution method: eager, compiled, alone, in bfloat16; its memory, and what it compiles."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax.tree_util import Partial

from align_jax import saliency

from ..explanations.small_network import CUTS, IMAGE, WEIGHTS, features_relu2, head_relu2
from ..virtual_devices import run_on_eight_devices
from .reference import TARGETS, compilations

KEY = jax.random.key(0)
CUT = CUTS["relu2"]
COMPILED = saliency.cut(jax.jit(features_relu2), jax.jit(head_relu2))
THREE = IMAGE[:3]
CLASSES = jnp.stack(list(TARGETS.values()), 1)[:3]

METHODS = {
    "grad_cam": saliency.grad_cam,
    "hires_cam": saliency.hires_cam,
    "element_wise_cam": saliency.element_wise_cam,
    "grad_cam_plus_plus": saliency.grad_cam_plus_plus,
    "layer_cam": saliency.layer_cam,
    "score_cam": functools.partial(saliency.score_cam, chunk=6),
    "gradient": saliency.gradient,
    "gradient_times_input": saliency.gradient_times_input,
    "smooth_grad": functools.partial(saliency.smooth_grad, key=KEY, samples=4, chunk=2),
    "var_grad": functools.partial(saliency.var_grad, key=KEY, samples=4, chunk=2),
    "integrated_gradients": functools.partial(saliency.integrated_gradients, steps=4, chunk=2),
    "guided_backpropagation": saliency.guided_backpropagation,
    "deconvolution": saliency.deconvolution,
    "occlusion": functools.partial(saliency.occlusion, window=8, stride=8, chunk=2),
    "rise": functools.partial(saliency.rise, key=KEY, samples=4, grid=3, chunk=2),
}
every_method = pytest.mark.parametrize("method", METHODS.values(), ids=METHODS)


def close(found, expected, share):
    """Within a share of the largest value."""
    np.testing.assert_allclose(found, expected, rtol=0, atol=share * np.abs(expected).max())


@every_method
def test_compiled_eager_alone_in_bfloat16_and_of_several_classes(method, caplog):
    compiled = jax.jit(method)
    whole = compiled(CUT, THREE)
    assert whole.dtype == jnp.float32
    for number in range(2):
        close(compiled(CUT, THREE[number : number + 1])[0], whole[number], 1e-5)
    # Of the same image: rounding it may already close a ReLU. So does rounding the versions that a method makes of it.
    rounded = THREE.astype(jnp.bfloat16)
    share = 0.1 if method in (METHODS["smooth_grad"], METHODS["var_grad"], METHODS["integrated_gradients"]) else 5e-3
    close(compiled(CUT, rounded), compiled(CUT, rounded.astype(jnp.float32)), share)
    several = method(COMPILED, THREE, CLASSES)
    assert several.shape == (3, 2, *whole.shape[1:])
    close(several[:, 0], whole, 1e-5)  # the label is predicted
    close(several[:, 1], compiled(CUT, THREE, CLASSES[:, 1]), 1e-5)
    assert compilations(caplog, lambda: method(COMPILED, THREE, CLASSES)) == 0


@every_method
def test_parameters_are_arguments_of_the_program(method):
    """Those of a cut whose functions carry them: none is a constant, so that new values need no new program."""

    traces = []

    def head(weights, features):
        traces.append(features.shape)
        return features.mean((1, 2)) @ weights["fc/kernel"] + weights["fc/bias"]

    model = saliency.cut(features_relu2, Partial(head, WEIGHTS))
    # The small network's own convolutions are constants; the head's matrix and bias are not.
    shapes = [const.shape for const in jax.make_jaxpr(method)(model, THREE).consts]
    assert (12, 5) not in shapes
    assert (5,) not in shapes
    compiled, label = jax.jit(method), jnp.array([0, 1, 2])
    first, count = compiled(model, THREE, label), len(traces)
    second = compiled(jax.tree.map(lambda a: 2 * a, model), THREE, label)
    assert len(traces) == count
    assert jnp.abs(second - first).max() > 0.01 * jnp.abs(first).max()


@pytest.mark.parametrize(
    ("method", "few", "many"),
    [
        (saliency.integrated_gradients, {"steps": 20}, {"steps": 200}),
        (saliency.smooth_grad, {"samples": 20, "key": KEY}, {"samples": 200, "key": KEY}),
        (saliency.rise, {"samples": 20, "key": KEY}, {"samples": 4000, "key": KEY}),
        (saliency.occlusion, {"window": 3, "stride": 3}, {"window": 3, "stride": 1}),
    ],
    ids=["integrated_gradients", "smooth_grad", "rise", "occlusion"],
)
def test_memory_does_not_grow_with_the_passes(method, few, many):
    def size(options):
        program = jax.jit(functools.partial(method, chunk=4, **options)).lower(CUT, IMAGE, TARGETS["lab"]).compile()
        return program.memory_analysis().temp_size_in_bytes

    assert 0 < size(many) <= 1.2 * size(few)


def test_training_on_integrated_gradients_lowers_their_loss():
    """Through four steps of them, in one program, to the weights."""
    kernel = 0.3 * jax.random.normal(KEY, (3, 3, 3, 4))

    def loss(kernel):
        def model(image):
            x = jax.lax.conv_general_dilated(image, kernel, (2, 2), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
            return jax.nn.softplus(x).mean((1, 2))

        found = saliency.integrated_gradients(model, THREE, jnp.array([0, 1, 2]), steps=4, chunk=2)
        return 1e3 * (saliency.over_channels(found, "norm")[:, :8] ** 2).mean()

    value, gradient = jax.jit(jax.value_and_grad(loss))(kernel)
    chex.assert_tree_all_finite(gradient)
    assert jnp.abs(gradient).max() > 0
    assert jax.jit(loss)(kernel - 0.01 * gradient / jnp.abs(gradient).max()) < value


@every_method
def test_a_class_that_there_is_not_is_refused_and_inside_of_jit_its_map_is_nan(method):
    with pytest.raises(ValueError, match="do not fit 5 classes"):
        method(COMPILED, THREE, 5)
    found = jax.jit(method)(CUT, THREE, jnp.array([0, 5, 1]))
    assert jnp.isnan(found).any(tuple(range(1, found.ndim))).tolist() == [False, True, False]


SHARDED = """
import jax, numpy as np
from jax.sharding import NamedSharding, PartitionSpec
from tests.explanations.small_network import IMAGE
from tests.saliency.test_common_form import COMPILED, METHODS

mesh = jax.make_mesh((8,), ("data",), axis_types=(jax.sharding.AxisType.Auto,))
sharded = jax.device_put(IMAGE, NamedSharding(mesh, PartitionSpec("data")))
assert len(sharded.addressable_shards) == len(IMAGE) == 8
for name, method in METHODS.items():
    expected, found = (jax.jit(method)(COMPILED, image) for image in (IMAGE, sharded))
    np.testing.assert_allclose(found, expected, rtol=0, atol=1e-5 * np.abs(expected).max(), err_msg=name)
print("same")
"""


def test_eight_devices_with_an_image_each_are_one():
    run_on_eight_devices(SHARDED)
