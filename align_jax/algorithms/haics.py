"""HAICS (Shen et al. 2021): aligns the label's Grad-CAM with a given mask, by cross-entropy; L_egl came from it."""

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, term, weighted
from align_jax.settings import ZERO_OR_MORE, keyword_settings


def classifier_objective(*, weight: float = 1.0) -> Objective:
    """L_clf = L_cls + weight * BCE(Phi_y(x), F+), the same term as ALIGN's L_egl (`losses.alignment`)."""
    return weighted(cls=term(losses.cross_entropy), attention=term(losses.alignment, weight=weight))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.haics),
    guided_terms=("attention",),
    guidance="true",
    title="HAICS",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE),
    citation="Shen et al. 2021",
)
