"""Distributionally robust optimisation over domains or groups (GroupDRO; Sagawa et al. 2020)."""

from typing import Literal

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.losses import domain_means
from align_jax.objectives import Carried, Objective, Sizes, term, weighted
from align_jax.settings import keyword_settings, number, one_of


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


def robust_group_risk(
    logits: Float[Array, "b k"],
    label: Int[Array, " b"],
    group_membership: Bool[Array, "g b"],
    group_weights: Float[Array, " g"],
) -> Float[Array, ""]:
    """`robust_risk` with pairs of class and group in place of domains."""
    return robust_risk(logits, label, group_membership, group_weights)


def classifier_objective(*, step_size: float = 0.01, over: Literal["domain", "group"] = "domain") -> Objective:
    """L_clf = sum_d q_d L_d; before each step `q_d *= exp(step_size * L_d)`, and q is normalised.

    The largest weight is logged as `worst_domain_weight`: 1 / d if all domains count alike, and 1 if only one counts.

    Over groups, d is a pair of class and group that training has, such as land birds on water: what Sagawa et al. call
    a group. The largest weight is then `worst_group_weight`. A group's weight moves only with batches that have it: in
    batches as they are drawn, rare groups count less than they should. `config.data.balanced_groups` draws all groups
    equally often, as Sagawa et al. do. Their adjustment by the size of a group, C / sqrt(n_g), is not there.

    Args:
      step_size: how fast the weights move.
      over: whether d counts the training domains, or the training set's pairs of class and group.
    """
    if over == "group":
        return weighted(
            cls=term(robust_group_risk),
            carried={
                "group_weights": Carried(
                    lambda sizes: _equal(sizes.num_groups),
                    lambda logits, label, group_membership, group_weights: _moved(
                        step_size, logits, label, group_membership, group_weights
                    ),
                )
            },
            watch={"worst_group_weight": lambda group_weights: group_weights.max()},
        )

    def initial(sizes: Sizes) -> Float[Array, " d"]:
        return _equal(sizes.num_domains)

    def updated(
        logits: Float[Array, "b k"],
        label: Int[Array, " b"],
        membership: Bool[Array, "d b"],
        domain_weights: Float[Array, " d"],
    ) -> Float[Array, " d"]:
        return _moved(step_size, logits, label, membership, domain_weights)

    return weighted(
        cls=term(robust_risk),
        carried={"domain_weights": Carried(initial, updated)},
        watch={"worst_domain_weight": lambda domain_weights: domain_weights.max()},
    )


def _equal(count: int) -> Float[Array, " d"]:
    return jnp.full(count, 1.0 / count, jnp.float32)


def _moved(
    step_size: float,
    logits: Float[Array, "b k"],
    label: Int[Array, " b"],
    membership: Bool[Array, "d b"],
    weights: Float[Array, " d"],
) -> Float[Array, " d"]:
    # A domain without examples in the batch has a mean of 0 here, and keeps its weight.
    q = weights * jnp.exp(step_size * domain_means(losses.cross_entropy(logits, label), membership))
    return q / q.sum()


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.group_dro),
    title="GroupDRO",
    settings=keyword_settings(classifier_objective, step_size=number(0.0, 10.0), over=one_of(("domain", "group"))),
    citation="Sagawa et al. 2020",
)
