"""Distributionally robust optimisation over domains (GroupDRO; Sagawa et al. 2020)."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.losses import domain_means
from align_jax.objectives import Carried, Objective, Sizes, term, weighted
from align_jax.settings import keyword_settings, number


def robust_risk(
    logits: Float[Array, "b k"],
    label: Int[Array, " b"],
    membership: Bool[Array, "d b"],
    domain_weights: Float[Array, " d"],
) -> Float[Array, ""]:
    """`sum_d q_d L_d`, with L_d the domain's mean cross-entropy.

    If a batch has no example of a domain, the weights of the others are scaled to add up to 1.
    """
    q = jnp.where(membership.any(1), domain_weights, 0.0)
    return (q * domain_means(losses.cross_entropy(logits, label), membership)).sum() / jnp.maximum(q.sum(), 1e-12)


def classifier_objective(*, step_size: float = 0.01) -> Objective:
    """L_clf = sum_d q_d L_d; before each step `q_d *= exp(step_size * L_d)`, and q is normalised.

    The largest weight is logged as `worst_domain_weight`: 1 / d if all domains count alike, and 1 if only one counts.
    """

    def initial(sizes: Sizes) -> Float[Array, " d"]:
        return jnp.full(sizes.num_domains, 1.0 / sizes.num_domains, jnp.float32)

    def updated(
        logits: Float[Array, "b k"],
        label: Int[Array, " b"],
        membership: Bool[Array, "d b"],
        domain_weights: Float[Array, " d"],
    ) -> Float[Array, " d"]:
        # A domain without examples in the batch has a mean of 0 here, and keeps its weight.
        q = domain_weights * jnp.exp(step_size * domain_means(losses.cross_entropy(logits, label), membership))
        return q / q.sum()

    return weighted(
        cls=term(robust_risk),
        carried={"domain_weights": Carried(initial, updated)},
        watch={"worst_domain_weight": lambda domain_weights: domain_weights.max()},
    )


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.group_dro),
    title="GroupDRO",
    settings=keyword_settings(classifier_objective, step_size=number(0.0, 10.0)),
    citation="Sagawa et al. 2020",
)
