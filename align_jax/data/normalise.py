"""Turns 8-bit pixels into the input of a network."""

from typing import Any

import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

# ImageNet's statistics of the RGB channels in [0, 1], which pretrained backbones expect.
CHANNEL_MEAN = (0.485, 0.456, 0.406)
CHANNEL_STANDARD_DEVIATION = (0.229, 0.224, 0.225)


def normalise(image: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """`(image / 255 - mean) / standard deviation` per channel, in float32; zero is then the mean colour."""
    mean, deviation = jnp.array(CHANNEL_MEAN), jnp.array(CHANNEL_STANDARD_DEVIATION)
    return (image.astype(jnp.float32) / 255 - mean) / deviation


def as_network_input(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with pixels as float32: `image` normalised, `mask` (where there is one) in [0, 1]."""
    changed = {"image": normalise(batch["image"])}
    if "mask" in batch:
        changed["mask"] = batch["mask"].astype(jnp.float32) / 255
    return batch | changed
