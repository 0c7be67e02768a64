"""Same-class mixup: partners, mixing shares and the mixed image (DRE, CVPR 2023; ALIGN's L_reg)."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key


def same_class_partner(key: Key[Array, ""], label: Int[Array, " b"]) -> Int[Array, " b"]:
    """A uniformly random permutation inside each class: `partner[i]` has i's label.

    The only example of a class is its own partner. Two sorts group the batch by class, one in the batch's order and one
    in a random order; together they pair each example with a random one of its class. Shapes are static, there is no
    loop, and the number of classes is free.

    Source: DRE (CVPR 2023): partners are permuted within the class, over the pooled batch of all domains.
    """
    in_order = jnp.argsort(label, stable=True)
    shuffled = jax.random.permutation(key, label.shape[0])
    in_random_order = shuffled[jnp.argsort(label[shuffled], stable=True)]
    return jnp.zeros_like(in_order).at[in_order].set(in_random_order)


def mixing_share(key: Key[Array, ""], batch_size: int, concentration: float = 0.2) -> Float[Array, " {batch_size}"]:
    """`lambda ~ Beta(concentration, concentration)`, one for each example, in [0, 1].

    Source: DRE (CVPR 2023), concentration 0.2.
    """
    return jax.random.beta(key, concentration, concentration, (batch_size,), jnp.float32)


def mix(
    image: Float[Array, "b h w c"], partner: Int[Array, " b"], mixing: Float[Array, " b"]
) -> Float[Array, "b h w c"]:
    """`x~ = lambda x + (1 - lambda) x'` with `x' = image[partner]`, in the image's dtype."""
    return blended(image, image[partner], mixing)


def blended(
    image: Float[Array, "b h w c"], other: Float[Array, "b h w c"], mixing: Float[Array, " b"]
) -> Float[Array, "b h w c"]:
    """`lambda x + (1 - lambda) x'` of images and of the others that they are mixed with."""
    share = mixing.astype(image.dtype)[:, None, None, None]
    return share * image + (1 - share) * other
