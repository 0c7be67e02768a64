"""Swapped backgrounds: what a mask keeps of one image, pasted over the background of another.

    composite(x) = M(x) x + (1 - M(x)) b(x')

b(x') is the other image, whose own object may be filled in from around it. The composites are beyond the paper.
"""

import dataclasses
import functools
from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from align_jax.fills import FILLS, around
from align_jax.settings import Rule, number, one_of

Partner = Literal["any", "other_class"]
PARTNERS = get_args(Partner)


def _filled_by(fill: Callable[[Array], Array], image: Array, hole: Array) -> Array:
    return image + hole * (fill(image) - image)


# What replaces the object of the image that lends its background, from (image, hole): the hole is 1 where its mask is
# above a half.
HOLE_FILLS: dict[str, Callable[[Array, Array], Array]] = {
    "none": lambda image, hole: image,
    "around": around,
    **{name: functools.partial(_filled_by, fill) for name, fill in FILLS.items()},
}


@dataclasses.dataclass(frozen=True)
class SwapSettings:
    """How composites are made.

    Attributes:
      fill: what replaces the object of the image that lends its background, see `HOLE_FILLS`; "none" leaves it there.
      partner: the image that lends its background is "any" of the batch, or one of another class.
      sharpness: s of sigmoid(s (M - 1/2)), which takes the place of the mask M; 0 takes the mask as it is.
    """

    fill: str = "none"
    partner: Partner = "any"
    sharpness: float = 0.0


# What is valid for each of these settings, whatever a method's defaults are.
SWAP_RULES: dict[str, Rule] = {
    "fill": one_of(HOLE_FILLS),
    "partner": one_of(PARTNERS),
    "sharpness": number(0.0, 1000.0),
}


def sharpened(mask: Float[Array, "b h w 1"], sharpness: float) -> Float[Array, "b h w 1"]:
    """`sigmoid(s (M - 1/2))`: values near 1/2 move towards 0 and 1; s = 0 leaves the mask as it is."""
    return jax.nn.sigmoid(sharpness * (mask - 0.5)) if sharpness else mask


def swap_partner(key: Key[Array, ""], label: Int[Array, " b"], partner: Partner) -> Int[Array, " b"]:
    """For each example, the index of the example that lends its background.

    "any" is a uniformly random permutation of the batch. With "other_class", each example draws one of the examples
    that have another label, uniformly and for itself; in a batch of one class it draws any.
    """
    size = label.shape[0]
    if partner == "any":
        return jax.random.permutation(key, size)
    score = jax.random.uniform(key, (size, size))
    return jnp.argmax(score + (label[:, None] != label[None, :]), axis=1)


def background_of(image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"], fill: str) -> Float[Array, "b h w c"]:
    """The images without their objects: where a mask is above a half, the fill takes the object's place."""
    return HOLE_FILLS[fill](image, (mask > 0.5).astype(image.dtype))


def pasted(
    image: Float[Array, "b h w c"], mask: Float[Array, "b h w 1"], background: Float[Array, "b h w c"]
) -> Float[Array, "b h w c"]:
    """`M x + (1 - M) b`."""
    return background + mask * (image - background)
