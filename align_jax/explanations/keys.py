"""A random key for each image, so that what is drawn for it need not depend on the others of its batch."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Key


def keys_of(key: Key[Array, "*b"], images: int) -> Key[Array, " {images}"]:
    """The images' own keys, if there is one for each; else keys from the one that is given, by the place in the batch.

    Args:
      key: one key, or one for each image.
      images: b.

    Raises:
      ValueError: another number of keys.
    """
    if key.ndim == 0:
        return jax.vmap(lambda place: jax.random.fold_in(key, place))(jnp.arange(images))
    if key.shape != (images,):
        raise ValueError(f"keys of shape {list(key.shape)} do not fit {images} images: give one key, or [{images}]")
    return key
