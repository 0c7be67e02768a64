"""Between a map's grid and the image's: exact averaging down, bilinear interpolation up."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float


def _averaging_matrix(size: int, cells: int) -> Float[Array, "cells size"]:
    """Row i holds each pixel's share in cell i: the overlap of their intervals, so `size / cells` need not be whole."""
    edges = jnp.arange(cells + 1) * (size / cells)
    pixels = jnp.arange(size)
    upper = jnp.minimum(edges[1:, None], pixels[None] + 1)
    lower = jnp.maximum(edges[:-1, None], pixels[None])
    return jnp.clip(upper - lower, 0) * (cells / size)


def to_grid(mask: Float[Array, "b H W 1"], height: int, width: int) -> Float[Array, "b {height} {width}"]:
    """A mask on the saliency map's grid, by exact area averaging, in float32; a mask of that size keeps its values.

    Source: ALIGN, decision of this project ("the mask is brought to the CAM's grid by exact area averaging").
    """
    rows = _averaging_matrix(mask.shape[1], height)
    columns = _averaging_matrix(mask.shape[2], width)
    return jnp.einsum("ih,bhw,jw->bij", rows, mask[..., 0].astype(jnp.float32), columns, precision="highest")


def upsample(saliency: Float[Array, "b h w"], height: int, width: int) -> Float[Array, "b {height} {width}"]:
    """Bilinear upsampling with pixel centres at half integers (as torch with align_corners=False, and OpenCV)."""
    return jax.image.resize(saliency, (saliency.shape[0], height, width), "bilinear")
