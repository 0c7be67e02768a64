"""Right for the right reasons (RRR; Ross et al. 2017): penalises input gradients outside the mask."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, term, weighted
from align_jax.settings import ZERO_OR_MORE, keyword_settings


def wrong_reasons(
    image: Float[Array, "b h w c"],
    mask: Float[Array, "b h w 1"],
    predict: Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]],
) -> Float[Array, " b"]:
    """`sum (A * d/dx sum_k log p_k(x))^2` over pixels and channels, with A = 1 - mask.

    BatchNorm uses its stored statistics, so that an example's gradient depends only on its own pixels. Training takes
    the gradient of this gradient.
    """
    gradient = jax.grad(lambda x: jax.nn.log_softmax(predict(x).astype(jnp.float32)).sum())(image)
    return jnp.square((1.0 - mask) * gradient).sum((1, 2, 3))


def classifier_objective(*, weight: float = 10.0) -> Objective:
    """L_clf = L_cls + weight * wrong reasons (l1 in its paper), as means over the batch."""
    return weighted(cls=term(losses.cross_entropy), reasons=term(wrong_reasons, weight=weight))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.rrr),
    guided_terms=("reasons",),
    guidance="true",
    title="RRR",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE),
    citation="Ross et al. 2017",
)
