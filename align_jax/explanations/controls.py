"""Maps that know nothing of the classifier. Every table of explanations carries them: a map that is not better than
these tells nothing about the classifier, however plausible it looks.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from align_jax.explanations.keys import keys_of


def random_map(key: Key[Array, "*b"], shape: tuple[int, ...]) -> Float[Array, "b h w"]:
    """Uniform noise in [0, 1), independent of image and classifier.

    Args:
      key: of the batch, or one for each image.
      shape: (b, h, w).
    """
    return jax.vmap(lambda key: jax.random.uniform(key, shape[1:]))(keys_of(key, shape[0]))


def centre_map(shape: tuple[int, ...]) -> Float[Array, "b h w"]:
    """A Gaussian about the centre, its standard deviation a quarter of the shorter side; 1 at the most.

    Photographers put the object in the middle, and this map does, too.

    Args:
      shape: (b, h, w).
    """
    images, height, width = shape
    deviation = min(height, width) / 4
    row, column = (jnp.arange(size) - (size - 1) / 2 for size in (height, width))
    bell = jnp.exp(-(row[:, None] ** 2 + column[None, :] ** 2) / (2 * deviation**2))
    return jnp.broadcast_to(bell / bell.max(), (images, height, width))


def edge_map(image: Float[Array, "b h w c"]) -> Float[Array, "b h w"]:
    """The image's own edges: the length of the Sobel gradient, largest over the channels, divided by its maximum.

    The image is mirrored at its border. An image without edges has a map of zeros.

    Source: Adebayo et al., Sanity checks for saliency maps (NeurIPS 2018): maps that look like an edge detector's.
    """
    padded = jnp.pad(image.astype(jnp.float32), ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
    across, along = (-1.0, 0.0, 1.0), (1.0, 2.0, 1.0)

    def filtered(rows: tuple[float, ...], columns: tuple[float, ...]) -> Float[Array, "b h w c"]:
        height, width = image.shape[1:3]
        parts = [
            row * column * padded[:, i : i + height, j : j + width]
            for i, row in enumerate(rows)
            for j, column in enumerate(columns)
            if row * column
        ]
        return jnp.stack(parts).sum(axis=0)

    length = jnp.sqrt(filtered(across, along) ** 2 + filtered(along, across) ** 2).max(axis=-1)
    largest = length.max(axis=(1, 2), keepdims=True)
    return length / jnp.where(largest > 0, largest, 1)
