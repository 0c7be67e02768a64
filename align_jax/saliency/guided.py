"""Guided backpropagation and deconvolution: gradients whose ReLUs pass only what raises the score."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.saliency.gradients import gradient
from align_jax.saliency.relu_rules import with_relu_rule
from align_jax.saliency.targets import Target
from align_jax.saliency.versions import Model


def guided_backpropagation(
    model: Model, image: Float[Array, "b h w c"], target: Target = "predicted"
) -> Float[Array, "b *m h w c"]:
    """`gradient`, in which every ReLU of x passes `R [R > 0] [x > 0]` of what arrives, R.

    It is sharp, and hardly depends on the class: Adebayo et al. 2018, "Sanity Checks for Saliency Maps", find it nearly
    unchanged when the layers near the output are drawn at random. Give a random map and such a check beside it.

    The model's ReLUs are found in its trace, whatever it is written in; max pooling and all else keep their gradient.
    `relu_rules` lists what is known as a ReLU and as another activation: what is written in another way is not seen.
    Costs one forward and backward pass.

    Args:
      model: image -> outputs, or a cut, with ReLU as its only activation.
      image, target: as in `gradient`.

    Raises:
      ValueError: a model with another activation that is known, such as GELU; without a ReLU; or with one that is out
        of reach, inside of `jax.lax.while_loop` or of a function with a derivative of its own; and as `gradient`.
      TypeError: as `gradient`.

    Source: Springenberg et al. 2015, "Striving for Simplicity", section 3.4.
    """
    return gradient(with_relu_rule(model, _guided, "guided_backpropagation"), image, target)


def deconvolution(
    model: Model, image: Float[Array, "b h w c"], target: Target = "predicted"
) -> Float[Array, "b *m h w c"]:
    """`gradient`, in which every ReLU passes `R [R > 0]` of what arrives, R, whether or not it was open.

    Arguments, errors, costs and cautions as `guided_backpropagation`.

    Source: Zeiler and Fergus 2014, "Visualizing and Understanding Convolutional Networks", section 2.1.
    """
    return gradient(with_relu_rule(model, _deconvolved, "deconvolution"), image, target)


@jax.custom_vjp
def _guided(x: Array) -> Array:
    return jax.nn.relu(x)


@jax.custom_vjp
def _deconvolved(x: Array) -> Array:
    return jax.nn.relu(x)


_guided.defvjp(lambda x: (jax.nn.relu(x), x > 0), lambda opened, above: (jnp.where(opened, jax.nn.relu(above), 0),))
_deconvolved.defvjp(lambda x: (jax.nn.relu(x), None), lambda _, above: (jax.nn.relu(above),))
