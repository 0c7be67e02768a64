"""A small trained network, eight images with true masks, and reference values that other libraries made for them.

model.npz   weights, images, masks and probabilities: trained and evaluated in PyTorch (float64).
eraser.npz  comprehensiveness and sufficiency, image by image, straight from ERASER's definition in float64, and the
            two saliency maps that they score: Grad-CAM, by hand in PyTorch, and |Integrated Gradients| of captum 0.9.0
            summed over channels.
"""

import pathlib

import jax
import jax.numpy as jnp
import numpy as np
from jax import Array

FOLDER = pathlib.Path(__file__).parent
MODEL = dict(np.load(FOLDER / "model.npz"))
ERASER = dict(np.load(FOLDER / "eraser.npz"))

IMAGE = jnp.asarray(MODEL["x_nhwc"])
PREDICTED = jnp.asarray(ERASER["pred"], jnp.int32)


def probabilities(image: Array) -> Array:
    """Two convolutions (the second with stride 2) with BatchNorm and ReLU, average pooling, a linear head."""
    x = image
    for layer, stride in ((1, 1), (2, 2)):
        weights = {name: jnp.asarray(MODEL[f"flax/{name}"]) for name in _names(layer)}
        x = jax.lax.conv_general_dilated(
            x.astype(jnp.float32),
            weights[f"conv{layer}/kernel"],
            (stride, stride),
            ((1, 1), (1, 1)),
            dimension_numbers=("NHWC", "HWIO", "NHWC"),
        )
        x = (x - weights[f"bn{layer}/mean"]) * jax.lax.rsqrt(weights[f"bn{layer}/var"] + 1e-5)
        x = jax.nn.relu(x * weights[f"bn{layer}/scale"] + weights[f"bn{layer}/bias"])
    return jax.nn.softmax(x.mean((1, 2)) @ MODEL["flax/fc/kernel"] + MODEL["flax/fc/bias"])


def _names(layer: int) -> list[str]:
    return [f"conv{layer}/kernel"] + [f"bn{layer}/{name}" for name in ("mean", "var", "scale", "bias")]
