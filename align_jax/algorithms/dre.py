"""DRE (Li et al., CVPR 2023): explanations that are consistent under same-class mixup, and sparse.

DRE is ALIGN's L_cls + L_reg: its objective with l3 = 0.
"""

from typing import Any

from align_jax.algorithms import align
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective


def classifier_objective(**settings: Any) -> Objective:
    """L_clf = L_cls + 1.0 consistency + 0.5 sparsity + 0.1 L_cls(x~).

    Args:
      **settings: those of `align.classifier_objective`; the weights of L_cls and of guided terms are not read.
    """
    return align.classifier_objective(**(settings | align.UNGUIDED))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.align.classifier), title="DRE", citation="Li et al., CVPR 2023"
)
