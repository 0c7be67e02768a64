"""Saliency-guided training (SGT; Ismail et al. 2021): predictions must not depend on pixels with a low gradient."""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int, Key

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.labels import of_label
from align_jax.objectives import Objective, term, weighted
from align_jax.settings import FRACTION, ZERO_OR_MORE, keyword_settings, one_of

Images = Float[Array, "b h w c"]
Replacement = Literal["noise", "mean"]


def without_lowest(image: Images, gradient: Float[Array, "b h w"], fraction: float, replacement: Images) -> Images:
    """x~: the fraction of pixels with the lowest (signed) gradient is replaced; of equal ones, the first."""
    pixels = gradient.reshape(gradient.shape[0], -1)
    lowest = jnp.argsort(jnp.argsort(pixels, axis=1, stable=True), axis=1) < int(fraction * pixels.shape[1])
    return jnp.where(lowest.reshape(gradient.shape)[..., None], replacement, image)


def label_gradient(predict: Callable[[Images], Float[Array, "b k"]], image: Images, label: Int[Array, " b"]) -> Images:
    """`d f(x)_y / d x`, with stored BatchNorm statistics: it depends only on the example's own pixels."""
    return jax.grad(lambda x: of_label(predict(x).astype(jnp.float32), label).sum())(image)


def prediction_divergence(logits: Float[Array, "b k"], other: Float[Array, "b k"]) -> Float[Array, " b"]:
    """`KL(f(x) || f(x~))`, in nats."""
    expected, actual = jax.nn.log_softmax(logits.astype(jnp.float32)), jax.nn.log_softmax(other.astype(jnp.float32))
    return (jnp.exp(expected) * (expected - actual)).sum(-1)


def classifier_objective(
    *, weight: float = 1.0, fraction: float = 0.5, replacement: Replacement = "noise"
) -> Objective:
    """L_clf = L_cls + weight * KL(f(x) || f(x~)).

    Args:
      weight: of the divergence.
      fraction: the share of the pixels that x~ replaces.
      replacement: uniform noise within the channel's range in the image, or the channel's mean.
    """

    def divergence(
        image: Images,
        label: Int[Array, " b"],
        logits: Float[Array, "b k"],
        predict: Callable[[Images], Float[Array, "b k"]],
        classify: Callable[[Images], Float[Array, "b k"]],
        random_key: Key[Array, ""],
    ) -> Float[Array, " b"]:
        gradient = jax.lax.stop_gradient(label_gradient(predict, image, label)).mean(-1)
        if replacement == "mean":
            removed = jnp.broadcast_to(image.mean((1, 2), keepdims=True), image.shape)
        else:
            low, high = image.min((1, 2), keepdims=True), image.max((1, 2), keepdims=True)
            removed = low + (high - low) * jax.random.uniform(random_key, image.shape, image.dtype)
        return prediction_divergence(logits, classify(without_lowest(image, gradient, fraction, removed)))

    return weighted(cls=term(losses.cross_entropy), divergence=term(divergence, weight=weight))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.sgt),
    title="SGT",
    settings=keyword_settings(
        classifier_objective, weight=ZERO_OR_MORE, fraction=FRACTION, replacement=one_of(get_args(Replacement))
    ),
    citation="Ismail et al. 2021",
)
