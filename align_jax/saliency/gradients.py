"""Attributions from the gradient of what is explained in the image: as it is, times the image, or of noisy copies.

All of them are signed, and have a value for each channel; `over_channels` makes a map of them. `model` is a function of
the images, or a cut; each image's outputs depend on it alone.
"""

import functools
from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Key

from align_jax.saliency.passes import summed
from align_jax.saliency.targets import Classes, Target, classes_of, each_class
from align_jax.saliency.versions import Model, check_image, fixed_target, gradients, outputs_of

Image = Float[Array, "b h w c"]
Attribution = Float[Array, "b *m h w c"]
# Noise of a few samples [j b h w c], and what it is made from: numbers of samples, or the noise itself.
Drawn = tuple[Callable[[Array], Array], Array | np.ndarray]


def gradient(model: Model, image: Image, target: Target = "predicted") -> Attribution:
    """`d score / d x`, signed. The paper shows its absolute value: `over_channels(gradient, "max_abs")`.

    Costs one forward and backward pass.

    Args:
      model: image -> outputs, or a cut.
      image: normalised.
      target: the class whose output is explained, or another number of the outputs (see `targets`).

    Returns:
      The attribution in float32; m of them an image if the target has m classes an image.

    Raises:
      ValueError: a class outside 0 ... k - 1 (inside `jax.jit` its attribution is NaN instead, see `labels`), an
        unknown word, or shapes that do not fit.
      TypeError: a target of another type, or images of integers.

    Source: Simonyan et al. 2014, "Deep Inside Convolutional Networks", section 3.
    """
    check_image(image)
    classes = classes_of(target, image.shape[0])
    return each_class(lambda one: gradients(model, image[None], one)[0], classes, lambda: outputs_of(model, image))


def gradient_times_input(model: Model, image: Image, target: Target = "predicted") -> Attribution:
    """`x * d score / d x`: how the score falls, to first order, when a pixel becomes 0, the mean colour.

    Costs, arguments and errors as `gradient`.

    Source: Shrikumar et al. 2016, "Not Just a Black Box", section 3.
    """
    found = gradient(model, image, target)
    return found * jnp.expand_dims(image.astype(jnp.float32), tuple(range(1, found.ndim - 3)))


def smooth_grad(
    model: Model,
    image: Image,
    target: Target = "predicted",
    *,
    key: Key[Array, ""] | None = None,
    samples: int = 50,
    deviation: float = 0.15,
    noise: Float[Array, "n ..."] | None = None,
    chunk: int = 1,
) -> Attribution:
    """SmoothGrad: `mean_i d score / d x (x + e_i)`, with `e_i` Gaussian noise.

    Costs n forward and backward passes, and one forward pass to find the predicted class, that of the image itself.
    Inside of `jax.jit`, memory does not grow with n.

    Args:
      model, image, target: as in `gradient`.
      key: the noise's. All images get the same noise, each with its own deviation, so that an image's attribution does
        not depend on the batch it is in.
      samples: n.
      deviation: the noise's standard deviation, as a share of the image's range, max x - min x.
      noise: the noise itself, [n b h w c], in place of a key, samples and a deviation.
      chunk: how many samples, each of all images, go through the model at once.

    Returns:
      The attribution, as `gradient` does.

    Raises:
      ValueError: neither key nor noise or both of them, noise that does not fit the images, fewer than 1 sample, a
        negative deviation, a chunk below 1; and as `gradient`.
      TypeError: as `gradient`.

    Source: Smilkov et al. 2017, "SmoothGrad", section 3; 10 % to 20 % is the paper's range.
    """
    draw, items = _drawn(image, key, samples, deviation, noise)

    def of_class(classes: Classes) -> Float[Array, "b h w c"]:
        total = summed(lambda part: _noisy_gradients(model, image, draw(part), classes).sum(0), items, chunk)
        return total / len(items)

    return each_class(of_class, fixed_target(model, image, target), lambda: outputs_of(model, image))


def var_grad(
    model: Model,
    image: Image,
    target: Target = "predicted",
    *,
    key: Key[Array, ""] | None = None,
    samples: int = 50,
    deviation: float = 0.15,
    noise: Float[Array, "n ..."] | None = None,
    chunk: int = 1,
) -> Attribution:
    """VarGrad: the variance, over n, of the gradients that `smooth_grad` averages; never negative.

    Costs one more forward and backward pass than `smooth_grad`. Arguments and errors as there.

    Source: Adebayo et al. 2018, "Local Explanation Methods for Deep Neural Networks Lack Sensitivity to Parameter
      Values", section 2.
    """
    draw, items = _drawn(image, key, samples, deviation, noise)

    def of_class(classes: Classes) -> Float[Array, "b h w c"]:
        # Deviations from the image's own gradient are small, so that their squares keep the digits of the variance.
        centre = gradients(model, image[None], classes)

        def moments(part: Array) -> tuple[Float[Array, "b h w c"], Float[Array, "b h w c"]]:
            away = _noisy_gradients(model, image, draw(part), classes) - centre
            return away.sum(0), (away**2).sum(0)

        first, second = summed(moments, items, chunk)
        return jnp.maximum(second / len(items) - (first / len(items)) ** 2, 0)

    return each_class(of_class, fixed_target(model, image, target), lambda: outputs_of(model, image))


def _noisy_gradients(
    model: Model, image: Image, noise: Float[Array, "j b h w c"], classes: Classes
) -> Float[Array, "j b h w c"]:
    return gradients(model, (image + noise).astype(image.dtype), classes)


def _drawn(
    image: Image,
    key: Key[Array, ""] | None,
    samples: int,
    deviation: float,
    noise: Float[Array, "n ..."] | None,
) -> Drawn:
    check_image(image)
    if noise is not None and key is None:
        if noise.shape[1:] != image.shape:
            raise ValueError(f"noise of shape {list(noise.shape)} does not fit images of shape {list(image.shape)}")
        return (lambda noise: noise), noise
    if key is None or noise is not None:
        raise ValueError("the noise is drawn from a key, or given: give one of key=jax.random.key(0) and noise=")
    if samples < 1 or deviation < 0:
        raise ValueError(f"samples {samples} and deviation {deviation}: give 1 sample or more, and 0 or more, as 0.15")
    axes = (1, 2, 3)
    scale = deviation * (image.max(axes, keepdims=True) - image.min(axes, keepdims=True)).astype(jnp.float32)

    def draw(numbers: Int[Array, " j"]) -> Float[Array, "j b h w c"]:
        assert key is not None
        return scale * _standard_normal(key, numbers, image.shape[1:])[:, None]

    return draw, np.arange(samples)


@functools.partial(jax.jit, static_argnames="shape")
def _standard_normal(key: Key[Array, ""], numbers: Int[Array, " j"], shape: tuple[int, ...]) -> Float[Array, "j h w c"]:
    return jax.vmap(lambda number: jax.random.normal(jax.random.fold_in(key, number), shape))(numbers)
