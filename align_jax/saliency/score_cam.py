"""ScoreCAM: a layer's channels, each weighted by what the model says of the image seen through it."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int

from align_jax.saliency.cut import Cut, Head, split
from align_jax.saliency.grid import upsample
from align_jax.saliency.normalise import normalise_minmax
from align_jax.saliency.passes import mapped
from align_jax.saliency.targets import Classes, Target, each_class, fixed
from align_jax.saliency.versions import check_image, scores

Upsample = Callable[[Float[Array, "n u v"], int, int], Float[Array, "n h w"]]


def score_cam(
    model: Cut | Head,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    upsample: Upsample = upsample,
    chunk: int = 1,
) -> Float[Array, "b *m u v"]:
    """ScoreCAM before ReLU: `sum_k w_k A_k`, `w = softmax_k score(x * minmax(up(A_k)))`.

    There is no gradient in it. The paper subtracts the score of a baseline image, which the softmax over channels takes
    out again. A channel that is the same everywhere hides the image (see `normalise_minmax`).

    Costs one forward pass for each of the layer's channels, whatever the number of classes, and one for A.

    Args:
      model: a cut. It runs the whole model, so a head does not do.
      image: normalised, where 0 is the mean colour, which is what a mask of 0 shows.
      target: what is explained (see `targets`); the weights depend on its scale: logits and probabilities differ.
      upsample: brings channels [n u v] to an image's size; bilinear, with pixel centres at half integers.
      chunk: how many channels, each with all images, go through the model at once.

    Returns:
      The raw map in float32, on the layer's grid; m maps an image if the target has m classes an image.

    Raises:
      TypeError: a model that is no cut, or images of integers.
      ValueError: a chunk below 1, shapes that do not fit, or a target as in `grad_cam`.

    Source: Wang et al. 2020, "Score-CAM", eq. 3-6 and algorithm 1.
    """
    if not isinstance(model, Cut):
        raise TypeError(
            f"score_cam was given a {type(model).__name__}: give a cut, such as cut(features, head), since the whole "
            "model runs on masked images"
        )
    check_image(image)
    features, head = split(model, image)
    all_channels = features.astype(jnp.float32)

    def masked(channels: Int[Array, " j"]) -> Float[Array, "j b h w c"]:
        maps = jnp.moveaxis(jnp.take(all_channels, channels, axis=-1), -1, 0)
        masks = normalise_minmax(upsample(maps.reshape(-1, *maps.shape[2:]), *image.shape[1:3]))
        return (masks.reshape(*maps.shape[:2], *image.shape[1:3], 1) * image).astype(image.dtype)

    def of_class(classes: Classes) -> Float[Array, "b u v"]:
        numbers = np.arange(features.shape[-1])
        weights = jax.nn.softmax(mapped(lambda part: scores(model, masked(part), classes), numbers, chunk), axis=0)
        return jnp.einsum("buvd,db->buv", all_channels, weights, precision="highest")

    classes = fixed(target, image.shape[0], lambda: head(features))
    return each_class(of_class, classes, lambda: head(features))
