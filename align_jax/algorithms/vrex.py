"""Risk extrapolation by variance (V-REx; Krueger et al. 2021) as in DomainBed."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.losses import domain_means, mean_over_present
from align_jax.objectives import Objective, switch, term, weighted
from align_jax.settings import ZERO_OR_MORE, keyword_settings, whole_number


def risk_variance(
    logits: Float[Array, "b k"], label: Int[Array, " b"], membership: Bool[Array, "d b"]
) -> Float[Array, ""]:
    """The variance of the domains' mean cross-entropies, over the domains that the batch has."""
    risk = domain_means(losses.cross_entropy(logits, label), membership)
    return mean_over_present(jnp.square(risk - mean_over_present(risk, membership)), membership)


def classifier_objective(*, weight: float = 10.0, switch_step: int = 500) -> Objective:
    """L_clf = L_cls + w(step) * variance; w is 1 until `switch_step`, then `weight` (0 leaves the variance out)."""
    variance = switch(switch_step, 1.0, weight) if weight else 0.0
    return weighted(cls=term(losses.cross_entropy), variance=term(risk_variance, weight=variance))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.vrex),
    # The optimiser's moments are reset where the variance's weight jumps, as with IRM.
    restart=lambda config: config.vrex.switch_step if config.vrex.weight else None,
    title="V-REx",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE, switch_step=whole_number(at_least=0)),
    citation="Krueger et al. 2021",
)
