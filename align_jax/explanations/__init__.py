"""Metrics of explanations: faithfulness, localisation, complexity and sanity; batched and jit-compatible.

curves = explanations.perturb(probabilities, image, cam, fill="image_mean", remove=explanations.ERASER)
explanations.comprehensiveness(curves)
"""

from align_jax.explanations.complexity import entropy, gini
from align_jax.explanations.controls import centre_map, edge_map, random_map
from align_jax.explanations.curves import ERASER, Alterations, Curves, in_steps, perturb, perturb_all
from align_jax.explanations.evaluator import CONTROLS, Examined, Method, Score, evaluator
from align_jax.explanations.faithfulness import (
    comprehensiveness,
    comprehensiveness_points,
    deletion_auc,
    deletion_points,
    insertion_auc,
    insertion_points,
    sufficiency,
    sufficiency_points,
)
from align_jax.explanations.localisation import (
    average_precision,
    energy_inside,
    mask_iou,
    pointing_game,
    rank_accuracy,
    roc_auc,
    top_k_inside,
)
from align_jax.explanations.mean import Mean, mean
from align_jax.explanations.metrics import HIGHER_IS_BETTER, METRICS
from align_jax.explanations.perturbations import (
    faithfulness_correlation,
    gaussian_noise,
    infidelity,
    max_sensitivity,
    random_subsets,
    uniform_noise,
)
from align_jax.explanations.road import imputed, road
from align_jax.explanations.sanity import from_the_logits, random_class, randomised, rank_correlation
from align_jax.explanations.soft import (
    Masked,
    adcc,
    average_drop,
    increase,
    mask,
    soft_comprehensiveness,
    soft_sufficiency,
)
from align_jax.preprocessing import Preprocessing

__all__ = [
    "CONTROLS",
    "ERASER",
    "HIGHER_IS_BETTER",
    "METRICS",
    "Alterations",
    "Curves",
    "Examined",
    "Masked",
    "Mean",
    "Method",
    "Preprocessing",
    "Score",
    "adcc",
    "average_drop",
    "average_precision",
    "centre_map",
    "comprehensiveness",
    "comprehensiveness_points",
    "deletion_auc",
    "deletion_points",
    "edge_map",
    "energy_inside",
    "entropy",
    "evaluator",
    "faithfulness_correlation",
    "from_the_logits",
    "gaussian_noise",
    "gini",
    "imputed",
    "in_steps",
    "increase",
    "infidelity",
    "insertion_auc",
    "insertion_points",
    "mask",
    "mask_iou",
    "max_sensitivity",
    "mean",
    "perturb",
    "perturb_all",
    "pointing_game",
    "random_class",
    "random_map",
    "random_subsets",
    "randomised",
    "rank_accuracy",
    "rank_correlation",
    "road",
    "roc_auc",
    "soft_comprehensiveness",
    "soft_sufficiency",
    "sufficiency",
    "sufficiency_points",
    "top_k_inside",
    "uniform_noise",
]
