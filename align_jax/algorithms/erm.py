"""Empirical risk minimisation: cross-entropy, nothing else (Vapnik 1998)."""

from align_jax import losses
from align_jax.objectives import Objective, term, weighted


def classifier_objective() -> Objective:
    """L_clf = L_cls."""
    return weighted(cls=term(losses.cross_entropy))
