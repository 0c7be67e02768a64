"""The faster convolutions equal XLA's, in value and derivatives, for every shape of the shipped networks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax

from align_jax import saliency
from align_jax.models.convolution import convolution, convolution_p, faster_convolution, form_of
from align_jax.models.convolution_forms import DIMENSIONS, FORMS, Geometry, native
from align_jax.models.masker import EncoderDecoder
from align_jax.models.resnet import resnet
from tests.virtual_devices import run_on_eight_devices

PRODUCTS = ("output", "input", "kernel")
# ResNet-34 has ResNet-18's shapes.
NETWORKS = {
    "resnet_small:64": (resnet("resnet_small", 5), 64),
    "resnet_local:64": (resnet("resnet_local", 5), 64),
    "resnet18:32": (resnet("resnet18", 5), 32),
    "resnet18:64": (resnet("resnet18", 5), 64),
    "resnet18:128": (resnet("resnet18", 5), 128),
    "resnet50:224": (resnet("resnet50", 5), 224),
    "masker:64": (EncoderDecoder(), 64),
    "masker:224": (EncoderDecoder(), 224),
}


def convolutions(jaxpr):
    """The shapes of x and w, and the geometry, of every convolution in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive is convolution_p and equation.params["product"] == "output":
            yield *(variable.aval.shape for variable in equation.invars), equation.params["geometry"]
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from convolutions(inner)


def shapes_of(module, size, batch=2):
    image = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(image.shape), False))
    traced = jax.make_jaxpr(lambda variables, image: module.apply(variables, image, False))(variables, image)
    return dict.fromkeys(convolutions(traced.jaxpr))


def waves(shape, phase=0.0):
    """Numbers that look random; to draw them would take longer to compile."""
    place = jnp.arange(np.prod(shape), dtype=jnp.float32)
    return jnp.sin(phase + place * (1.7 + 0.001 * (place % 977))).reshape(shape)


def factors_of(product, x_shape, w_shape, geometry):
    x, w, above = waves(x_shape), waves(w_shape, 1.0), waves((x_shape[0], *geometry.output, w_shape[3]), 2.0)
    return {"output": (x, w), "input": (above, w), "kernel": (x, above)}[product]


def error(found, expected):
    """The largest difference, relative to the largest value."""
    return jnp.abs(found - expected).max() / jnp.abs(expected).max()


@pytest.mark.parametrize("name", NETWORKS)
def test_every_product_of_every_shipped_network_equals_xlas(name):
    cases = [
        (product, *shapes)
        for shapes in shapes_of(*NETWORKS[name])
        for product in PRODUCTS
    ]
    assert len({geometry for _, _, _, geometry in cases}) >= 5

    def differs(product, x, w, geometry):
        a, b = factors_of(product, x, w, geometry)
        return form_of(product, a.shape, b.shape, geometry) != "native"

    changed = [case for case in cases if differs(*case)]
    assert changed

    @jax.jit
    def errors():
        return [
            error(convolution_p.bind(*factors_of(*case), product=case[0], geometry=case[3]), native(case[0], *factors_of(*case), case[3]))
            for case in changed
        ]

    wrong = [(case, float(e)) for case, e in zip(changed, errors(), strict=True) if not e <= 1e-5]
    assert not wrong
