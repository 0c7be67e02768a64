"""Versions of an image, such as noisy or masked ones: the model's scores and gradients of several at once.

Versions lie on an axis before the batch, `[j b h w c]`. They go through the model as one batch of j b images.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Shaped

from align_jax.saliency.cut import Cut
from align_jax.saliency.targets import Classes, Outputs, Score, Target, fixed, score

# A model as a whole, image [b h w c] -> outputs. Each image's outputs depend on it alone.
Model = Cut | Callable[[Array], Outputs]


def outputs_of(model: Model, image: Float[Array, "b h w c"]) -> Outputs:
    """f(x), of a function or a cut."""
    return model.outputs(image) if isinstance(model, Cut) else model(image)


def fixed_target(model: Model, image: Float[Array, "b h w c"], target: Target) -> Score | Int[Array, "b *m"]:
    """The target with the predicted class of the image as it is; that costs a forward pass, and classes cost none.

    Raises:
      TypeError, ValueError: as `check_image` and `targets.fixed`.
    """
    check_image(image)
    return fixed(target, image.shape[0], lambda: outputs_of(model, image))


def scores(model: Model, versions: Float[Array, "j b h w c"], target: Classes) -> Float[Array, "j b"]:
    """What is explained of each version: a number."""
    count, images = versions.shape[:2]
    outputs = outputs_of(model, versions.reshape(count * images, *versions.shape[2:]))
    # A target function reads the outputs of b images, so it is given one version at a time.
    apart = jax.tree.map(lambda a: a.reshape(count, images, *a.shape[1:]), outputs)
    return jax.vmap(lambda outputs: score(outputs, target))(apart)


def gradients(model: Model, versions: Float[Array, "j b h w c"], target: Classes) -> Float[Array, "j b h w c"]:
    """d score / d version, in float32."""
    # The sum gives every version its own gradient, since no image's outputs depend on another image.
    gradient = jax.grad(lambda versions: scores(model, versions, target).sum())(versions)
    return gradient.astype(jnp.float32)


def check_image(image: Shaped[Array, "..."]) -> None:
    """Refuses what is not a batch of images in floating point.

    Raises:
      ValueError: another shape than [b h w c].
      TypeError: integers, which have no gradient and are not what a model reads.
    """
    if image.ndim != 4:
        raise ValueError(f"an image of shape {list(image.shape)} is no batch of images: give [b h w c]")
    if not jnp.issubdtype(image.dtype, jnp.floating):
        raise TypeError(f"an image of type {image.dtype} is not what a model reads: normalise it, in floating point")
