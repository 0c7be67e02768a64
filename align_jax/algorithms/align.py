"""ALIGN (arXiv 2511.06944): masks that are learned guide the classifier's Grad-CAM."""

from typing import Literal

from align_jax import losses
from align_jax.objectives import Objective, term, weighted

ALIGNMENTS = {"cam": losses.alignment, "image": losses.alignment_at_image_resolution}


def masker_objective(*, sparsity: float = 1.5, smoothness: float = 0.3) -> Objective:
    """L_mask = L_dist + l1 * L_sparsity + l2 * L_smooth.

    Args:
      sparsity: l1.
      smoothness: l2.

    Source: ALIGN, "Masker objective"; the weights are a decision of this project.
    """
    return weighted(
        distinction=term(losses.distinction),
        sparsity=term(losses.sparsity, weight=sparsity),
        smoothness=term(losses.smoothness, weight=smoothness),
    )


def classifier_objective(
    *,
    guidance: float = 1.0,
    regularisation: float = 1.0,
    consistency: float = 1.0,
    sparsity: float = 0.5,
    mixed_cls: float = 0.1,
    swapped_cls: float = 0.0,
    resolution: Literal["cam", "image"] = "cam",
    as_published: bool = False,
) -> Objective:
    """L_clf = L_cls + l3 * L_egl + l4 * L_reg, with L_reg = 1.0 consistency + 0.5 sparsity + 0.1 mixed L_cls.

    Without `guidance` (l3 = 0) this is DRE, and so is warm-up.

    Args:
      guidance: l3.
      regularisation: l4.
      consistency: weight within L_reg.
      sparsity: weight within L_reg.
      mixed_cls: weight within L_reg of the cross-entropy on the mixed image.
      swapped_cls: weight of the cross-entropy on images whose background was swapped; beyond the paper, which has none.
      resolution: where saliency and mask meet: on the Grad-CAM's grid, or upsampled to the image's.
      as_published: follow DRE's code: means within each class, summed and divided by the number of classes, and its
        own sparsity. (Its constant channel weights are `forward.Explanation.alpha`.)

    Source: ALIGN, "Classifier objective"; DRE (CVPR 2023).
    """
    return weighted(
        reduction=losses.mean_over_classes if as_published else losses.mean_over_batch,
        cls=term(losses.cross_entropy),
        egl=term(ALIGNMENTS[resolution], weight=guidance),
        consistency=term(losses.consistency, weight=regularisation * consistency),
        sparsity=term(
            losses.saliency_sparsity_as_published if as_published else losses.saliency_sparsity,
            weight=regularisation * sparsity,
        ),
        mixed_cls=term(losses.mixed_cross_entropy, weight=regularisation * mixed_cls),
        swapped_cls=term(losses.swapped_cross_entropy, weight=swapped_cls),
    )
