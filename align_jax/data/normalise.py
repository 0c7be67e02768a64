"""Turns 8-bit pixels into the input of a network."""

from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, UInt8

from align_jax.preprocessing import IMAGENET


def normalise(image: UInt8[Array, "b h w 3"]) -> Float[Array, "b h w 3"]:
    """`(image / 255 - mean) / std` of ImageNet per channel, in float32; zero is then the mean colour."""
    return IMAGENET.normalise(image)


def as_network_input(batch: dict[str, Any]) -> dict[str, Any]:
    """The batch with pixels as float32: `image` normalised, `mask` (where there is one) in [0, 1]."""
    with jax.named_scope("data"):
        changed = {"image": normalise(batch["image"])}
        if "mask" in batch:
            changed["mask"] = batch["mask"].astype(jnp.float32) / 255
    return batch | changed
