"""Maps that a metric can score: their shape, and whether they say anything at all.

A score of NaN means that a metric does not apply to an image. Its map holds a NaN, or it has no two different values
and so no order; or the image has no object. That is neither a success nor a failure. `mean.Mean` counts such images.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Shaped


def check_shape(what: str, given: Shaped[Array, "..."], shape: tuple[int, ...], of: str) -> None:
    """Raises a ValueError, with both shapes, if an array does not have this shape: nothing is broadcast.

    Args:
      what: the array, in words.
      given: the array.
      shape: the shape that it must have.
      of: where the shape comes from, in words.
    """
    if given.shape != shape:
        raise ValueError(
            f"{what} has the shape {list(given.shape)}, and {of} needs {list(shape)}: give one for each image, at the "
            "image's resolution"
        )


def check_map(saliency: Shaped[Array, "b h w"], image: Shaped[Array, "b h w c"]) -> None:
    """Raises a ValueError if there is not one map for each image at its resolution."""
    check_shape("the saliency map", saliency, image.shape[:3], f"an image batch of shape {list(image.shape)}")


def check_masks(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> None:
    """Raises a ValueError if a batch of maps [b h w] and their masks differ in shape."""
    if saliency.ndim != 3:
        raise ValueError(f"the map has the shape {list(saliency.shape)}: give a batch of maps, [b h w]")
    check_shape("the true mask", true_mask, saliency.shape, f"a map of shape {list(saliency.shape)}")


def has_nan(values: Shaped[Array, "b h w"]) -> Bool[Array, " b"]:
    """Whether there is a NaN anywhere in each map."""
    return jnp.isnan(values).any(axis=(1, 2))


def orders_pixels(saliency: Shaped[Array, "b h w"]) -> Bool[Array, " b"]:
    """Whether each map has two different values and no NaN."""
    return saliency.min(axis=(1, 2)) < saliency.max(axis=(1, 2))


def where_ordered(values: Float[Array, "b *n"], saliency: Shaped[Array, "b h w"]) -> Float[Array, "b *n"]:
    """The values, and NaN for an image whose map orders no pixels."""
    ordered = orders_pixels(saliency).reshape((-1,) + (1,) * (values.ndim - 1))
    return jnp.where(ordered, values, jnp.nan)


def flat(saliency: Shaped[Array, "b h w"]) -> Float[Array, "b n"]:
    """The pixels of each map in floating point: the negative of an unsigned integer would wrap round."""
    return saliency.astype(jnp.promote_types(saliency.dtype, jnp.float32)).reshape(len(saliency), -1)


def pixel_ranks(saliency: Shaped[Array, "b h w"]) -> Int[Array, "b h w"]:
    """0 for the most salient pixel of each map, h w - 1 for the least; the earlier of two equal pixels comes first.

    NaN ranks last.
    """
    order = jnp.argsort(-flat(saliency), axis=-1, stable=True)
    # A CPU sorts slowly; accelerators scatter slowly.
    return jax.lax.platform_dependent(order, cpu=_scattered, default=jnp.argsort).reshape(saliency.shape)


def _scattered(order: Int[Array, "b n"]) -> Int[Array, "b n"]:
    """The inverse of each permutation."""
    places = jnp.arange(order.shape[-1], dtype=order.dtype)
    return jax.vmap(lambda of_map: jnp.zeros_like(of_map).at[of_map].set(places, unique_indices=True))(order)
