"""The faster convolutions equal XLA's, in value and derivatives, for every shape of the shipped networks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import lax

from align_jax.models.convolution import convolution, convolution_p, faster_convolution, form_of
from align_jax.models.convolution_forms import DIMENSIONS, FORMS, Geometry, native
from align_jax.models.masker import EncoderDecoder
from align_jax.models.resnet import resnet

PRODUCTS = ("output", "input", "kernel")


def products_in(jaxpr):
    """Every convolution of a program: its product, the shapes of its factors, and its geometry."""
    for equation in jaxpr.eqns:
        if equation.primitive is convolution_p:
            shapes = (variable.aval.shape for variable in equation.invars)
            yield equation.params["product"], *shapes, equation.params["geometry"]
        for inner in jax.core.jaxprs_in_params(equation.params):
            yield from products_in(inner)


@functools.cache
def shapes_of_networks():
    """(x, w, geometry) of each convolution of the shipped networks, with a batch of two."""
    networks = [(name, resnet(name, 5)) for name in ("resnet_small", "resnet_local", "resnet18", "resnet50")]
    networks += [("masker", EncoderDecoder())]
    found = {}
    for name, module in networks:
        for size in (32, 64, 128, 224) if name != "resnet_local" else (64,):
            image = jax.ShapeDtypeStruct((2, size, size, 3), jnp.float32)
            traced = jax.make_jaxpr(lambda image, module=module: module.init(jax.random.key(0), image, train=False))(image)
            found |= {shapes: None for _, *shapes in map(tuple, map(freeze, products_in(traced.jaxpr)))}
    return list(found)
