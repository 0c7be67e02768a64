"""Correlation alignment (CORAL; Sun and Saenko 2016) as in DomainBed: equal means and covariances of features."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, term, weighted
from align_jax.settings import ZERO_OR_MORE, keyword_settings


def moment_distance(pooled: Float[Array, "b c"], membership: Bool[Array, "d b"]) -> Float[Array, ""]:
    """Mean over pairs of domains of `mean((mu_i - mu_j)^2) + mean((C_i - C_j)^2)`, with n - 1 in the covariance C.

    The covariance of a domain with one example is 0. Pairs are left out if the batch lacks one of their domains.
    """
    member = membership.astype(jnp.float32)
    count = member.sum(1)
    mean = member @ pooled / jnp.maximum(count, 1)[:, None]
    centred = (pooled[None] - mean[:, None]) * member[..., None]
    # By default accelerators multiply float32 in fewer bits, which is too coarse for differences of covariances.
    covariance = jnp.einsum("dbi,dbj->dij", centred, centred, precision="highest")
    covariance /= jnp.maximum(count - 1, 1)[:, None, None]
    distance = jnp.square(mean[:, None] - mean[None]).mean(-1)
    distance += jnp.square(covariance[:, None] - covariance[None]).mean((-2, -1))
    pairs = jnp.triu((count[:, None] > 0) & (count[None] > 0), k=1)
    return jnp.where(pairs, distance, 0.0).sum() / jnp.maximum(pairs.sum(), 1)


def classifier_objective(*, weight: float = 1.0) -> Objective:
    """L_clf = L_cls + weight * moment distance."""
    return weighted(cls=term(losses.cross_entropy), distance=term(moment_distance, weight=weight))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.coral),
    title="CORAL",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE),
    citation="Sun and Saenko 2016",
)
