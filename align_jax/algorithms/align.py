"""ALIGN (arXiv 2511.06944): learned masks guide the classifier's Grad-CAM.

The paper's symbols, and their names here and in the metrics:

| paper | function | term | weight, in `config.align` |
|---|---|---|---|
| L_dist | `losses.distinction` | `masker/distinction` | 1 |
| L_sparsity | `losses.sparsity` | `masker/sparsity` | l1 = `masker.sparsity` |
| L_smooth | `losses.smoothness` | `masker/smoothness` | l2 = `masker.smoothness` |
| L_cls | `losses.cross_entropy` | `classifier/cls` | 1 |
| L_egl | `losses.alignment` | `classifier/egl` | l3 = `classifier.guidance` |
| L_reg | the sum of the next three | | l4 = `classifier.regularisation` |
| its consistency | `losses.consistency` | `classifier/consistency` | l4 x `classifier.consistency` |
| its sparsity | `losses.saliency_sparsity` | `classifier/sparsity` | l4 x `classifier.sparsity` |
| its L_cls(x~) | `losses.mixed_cross_entropy` | `classifier/mixed_cls` | l4 x `classifier.mixed_cls` |

`config.align.classifier.guidance` is the weight of the masks; `config.guidance` says where they come from.
"""

from collections.abc import Callable
from typing import Literal, get_args

import ml_collections
from jaxtyping import Array

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.fills import FILLS
from align_jax.forward import SaliencySettings
from align_jax.objectives import Objective, Weight, term, weighted
from align_jax.saliency import NORMALISATIONS, ExplainedScore
from align_jax.settings import BOOLEAN, POSITIVE, ZERO_OR_MORE, Setting, keyword_settings, one_of, whole_number
from align_jax.swaps import SWAP_RULES, SwapSettings

# L_egl by `classifier.form`, then by `classifier.resolution`.
ALIGNMENTS: dict[str, dict[str, Callable[..., Array]]] = {
    "bce": {"cam": losses.alignment, "image": losses.alignment_at_image_resolution},
    "energy": {"cam": losses.energy, "image": losses.energy_at_image_resolution},
}

# The weights of `classifier_objective` that leave L_cls + l4 * L_reg, as in warm-up.
UNGUIDED = {"cls": 1.0, "guidance": 0.0, "swapped_cls": 0.0}


def masker_objective(*, sparsity: Weight = 1.5, smoothness: float = 0.3) -> Objective:
    """L_mask = L_dist + l1 * L_sparsity + l2 * L_smooth.

    Args:
      sparsity: l1. The paper's is a number.
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
    cls: float = 1.0,
    guidance: float = 1.0,
    regularisation: float = 1.0,
    consistency: float = 1.0,
    sparsity: float = 0.5,
    mixed_cls: float = 0.1,
    swapped_cls: float = 0.0,
    form: Literal["bce", "energy"] = "bce",
    resolution: Literal["cam", "image"] = "cam",
    as_published: bool = False,
) -> Objective:
    """L_clf = L_cls + l3 * L_egl + l4 * L_reg, with L_reg = 1.0 consistency + 0.5 sparsity + 0.1 mixed L_cls.

    With l3 = 0, as in warm-up, this is DRE.

    Args:
      cls: weight of L_cls. The paper has no such weight.
      guidance: l3.
      regularisation: l4.
      consistency: weight within L_reg.
      sparsity: weight within L_reg.
      mixed_cls: weight within L_reg of the cross-entropy on the mixed image.
      swapped_cls: weight of the cross-entropy on images with swapped backgrounds. The paper has no such term.
      form: of L_egl. `bce`, the paper's, is the BCE of the label's normalised Grad-CAM. `energy`, beyond the paper, is
        the share of the evidence for and against all classes that lies beside the mask.
      resolution: where saliency and mask are compared: on the Grad-CAM's grid (`cam`), or on the image's, with the
        Grad-CAM upsampled (`image`).
      as_published: follow DRE's code: means within each class, summed and divided by the number of classes, and its
        own sparsity. (A run then takes its constant channel weights, too; in a loop of your own set
        `forward.SaliencySettings.alpha`.)

    Source: ALIGN, "Classifier objective"; DRE (CVPR 2023).
    """
    return weighted(
        reduction=losses.mean_over_classes if as_published else losses.mean_over_batch,
        cls=term(losses.cross_entropy, weight=cls),
        egl=term(ALIGNMENTS[form][resolution], weight=guidance),
        consistency=term(losses.consistency, weight=regularisation * consistency),
        sparsity=term(
            losses.saliency_sparsity_as_published if as_published else losses.saliency_sparsity,
            weight=regularisation * sparsity,
        ),
        mixed_cls=term(losses.mixed_cross_entropy, weight=regularisation * mixed_cls),
        swapped_cls=term(losses.swapped_cross_entropy, weight=swapped_cls),
    )


def warmup_objective(config: ml_collections.ConfigDict) -> Objective:
    """L_cls + l4 * L_reg: L_clf in warm-up, which is DRE, given a config."""
    return classifier_objective(**(dict(config.align.classifier) | UNGUIDED))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.align.classifier),
    warmup_objective=warmup_objective,
    guided_terms=("egl", "swapped_cls"),
    guidance="learned",
    warms_up=True,
    title="ALIGN",
    citation="arXiv 2511.06944",
    settings=keyword_settings(
        classifier_objective,
        "classifier.",
        cls=ZERO_OR_MORE,  # beyond the paper: the weight of L_cls in the rounds
        guidance=ZERO_OR_MORE,  # l3 (D)
        regularisation=ZERO_OR_MORE,  # l4 (D)
        consistency=ZERO_OR_MORE,
        sparsity=ZERO_OR_MORE,
        mixed_cls=ZERO_OR_MORE,
        swapped_cls=ZERO_OR_MORE,  # beyond the paper
        form=one_of(ALIGNMENTS),  # beyond the paper
        resolution=one_of(("cam", "image")),  # (D)
        as_published=BOOLEAN,  # (D)
    )
    | keyword_settings(
        masker_objective,
        "masker.",
        sparsity=ZERO_OR_MORE,  # l1 (D)
        smoothness=ZERO_OR_MORE,  # l2 (D)
    )
    | keyword_settings(
        SaliencySettings,
        alpha=one_of(("differentiated", "constant")),  # (D)
        normalise=one_of(NORMALISATIONS),  # (D)
        mixing_concentration=POSITIVE,  # above 1e6 all shares are a half: 1e9 is as good as more
        # What Grad-CAM explains in training: the label's logit (P), or its log-probability (not in the paper).
        explained=one_of(get_args(ExplainedScore)),
    )
    # Beyond the paper: how backgrounds are swapped for `classifier.swapped_cls`.
    | keyword_settings(SwapSettings, "swap.", **SWAP_RULES)
    | {
        # For how many steps after warm-up the classifier goes on as before, while masks are learned already.
        "delay": Setting(0, whole_number(at_least=0)),
        # For how many steps after that the weights go from those of warm-up to those of the rounds. The paper has
        # neither; methods without warm-up do not read them.
        "ramp": Setting(0, whole_number(at_least=0)),
        "fill": Setting("mean", one_of(FILLS)),  # (D) what replaces the pixels that a mask removes
    },
)
