"""Empirical risk minimisation: cross-entropy alone (Vapnik 1998)."""

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, term, weighted


def classifier_objective() -> Objective:
    """L_clf = L_cls."""
    return weighted(cls=term(losses.cross_entropy))


ALGORITHM = Algorithm(lambda config: classifier_objective(), title="ERM", citation="Vapnik 1998")
