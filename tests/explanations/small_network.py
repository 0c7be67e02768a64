"""A small trained network, eight images with true masks, and reference values that other libraries made for them.

model.npz   weights, images, masks and probabilities: trained and evaluated in PyTorch (float64).
eraser.npz  comprehensiveness and sufficiency, image by image, straight from ERASER's definition in float64, and the
            three saliency maps that they score: Grad-CAM, by hand in PyTorch; |Integrated Gradients| of captum 0.9.0
            summed over channels; and uniform noise (NumPy, seed 11). The first two had 1e-7 i added to pixel i, so that
            no two pixels are equal; then each map was brought to [0, 1].
captum.npz  infidelity and sensitivity of captum 0.9.0 (float64), with the noise and the attributions that they score.

The network has two convolutions (the second with stride 2) with BatchNorm and ReLU, average pooling, and a linear head.
It can be cut at two layers: `conv2`, the second convolution's output, and `relu2`, the last ReLU's.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

from align_jax.saliency import cut

FOLDER = pathlib.Path(__file__).parent
MODEL = dict(np.load(FOLDER / "model.npz"))
ERASER = dict(np.load(FOLDER / "eraser.npz"))
WEIGHTS = {name.removeprefix("flax/"): jnp.asarray(MODEL[name]) for name in MODEL if name.startswith("flax/")}

IMAGE = jnp.asarray(MODEL["x_nhwc"])
PREDICTED = jnp.asarray(ERASER["pred"], jnp.int32)


def probabilities(image: Array) -> Array:
    return jax.nn.softmax(logits(image))


def logits(image: Array) -> Array:
    return head_relu2(features_relu2(image))


def features_conv2(image: Array) -> Array:
    return _convolved(_activated(_convolved(image.astype(jnp.float32), 1, stride=1), 1), 2, stride=2)


def head_conv2(features: Array) -> Array:
    return head_relu2(_activated(features, 2))


def features_relu2(image: Array) -> Array:
    return _activated(features_conv2(image), 2)


def head_relu2(features: Array) -> Array:
    return features.mean((1, 2)) @ WEIGHTS["fc/kernel"] + WEIGHTS["fc/bias"]


CUTS = {"conv2": cut(features_conv2, head_conv2), "relu2": cut(features_relu2, head_relu2)}


def _convolved(x: Array, layer: int, *, stride: int) -> Array:
    return jax.lax.conv_general_dilated(
        x,
        WEIGHTS[f"conv{layer}/kernel"],
        (stride, stride),
        ((1, 1), (1, 1)),
        dimension_numbers=("NHWC", "HWIO", "NHWC"),
    )


def _activated(x: Array, layer: int) -> Array:
    """BatchNorm with stored statistics, and ReLU."""
    mean, variance, scale, bias = (WEIGHTS[f"bn{layer}/{name}"] for name in ("mean", "var", "scale", "bias"))
    return jax.nn.relu((x - mean) * jax.lax.rsqrt(variance + 1e-5) * scale + bias)
