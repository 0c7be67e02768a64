"""Invariant risk minimisation (Arjovsky et al. 2019) as in DomainBed: IRMv1 with an unbiased penalty."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.labels import of_label
from align_jax.losses import mean_over_present
from align_jax.objectives import Objective, switch, term, weighted
from align_jax.settings import ZERO_OR_MORE, keyword_settings, whole_number


def invariance_penalty(
    logits: Float[Array, "b k"], label: Int[Array, " b"], membership: Bool[Array, "d b"]
) -> Float[Array, ""]:
    """Mean over domains of `dCE(w z[::2], y[::2])/dw * dCE(w z[1::2], y[1::2])/dw` at w = 1.

    For one example `dCE(w z, y)/dw = sum_k p_k z_k - z_y` at w = 1, so that no gradient of a gradient is needed. A half
    without examples contributes 0.

    Source: IRMv1; DomainBed's estimate from two halves of each domain's batch.
    """
    logits = logits.astype(jnp.float32)
    slope = (jax.nn.softmax(logits) * logits).sum(-1) - of_label(logits, label)
    place = jnp.cumsum(membership, axis=1) - 1  # of each example within its domain, in the batch's order
    penalty = _mean(slope, membership & (place % 2 == 0)) * _mean(slope, membership & (place % 2 == 1))
    return mean_over_present(penalty, membership)


def _mean(values: Float[Array, " b"], chosen: Bool[Array, "d b"]) -> Float[Array, " d"]:
    return jnp.where(chosen, values, 0.0).sum(1) / jnp.maximum(chosen.sum(1), 1)


def classifier_objective(*, weight: float = 100.0, switch_step: int = 500) -> Objective:
    """L_clf = L_cls + w(step) * penalty; w is 1 until `switch_step`, then `weight` (0 leaves the penalty out)."""
    penalty = switch(switch_step, 1.0, weight) if weight else 0.0
    return weighted(cls=term(losses.cross_entropy), penalty=term(invariance_penalty, weight=penalty))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.irm),
    # The optimiser's moments are reset where the penalty's weight jumps.
    restart=lambda config: config.irm.switch_step if config.irm.weight else None,
    title="IRM",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE, switch_step=whole_number(at_least=0)),
    citation="Arjovsky et al. 2019",
)
