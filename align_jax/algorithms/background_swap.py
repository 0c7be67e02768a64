"""Background swap: learned masks take a classifier off its backgrounds. Beyond ALIGN's paper, built from its parts.

ALIGN's masks say where the object is, and L_egl asks Grad-CAM to lie there. That does not change what a prediction
depends on. Here the classifier is trained on composites instead: what the mask keeps of an image, on the background of
another. Each part can be switched, in `config.background_swap`:

| part | what it does | setting | off |
|---|---|---|---|
| swapped cross-entropy | f learns from composites, see `swaps` | `classifier.swapped_cls` | 0, with `cls` 1 |
| plain cross-entropy | ... and from the images as they are | `classifier.cls` | 0; ALIGN has 1 |
| redrawing | images that the classifier gets wrong at the end of warm-up are drawn more often | `mistakes` | 1 |
| composites for the masker | other images replace what L_dist removes, too | `masker.composites` | False |
| growing l1 | the masker's l1 grows to so many times ALIGN's | `masker.growth` | 1 |
| filling | the object of the image that lends its background is filled in | `swap.fill` | "none" |
| partner | the image that lends its background is any, or one of another class | `swap.partner` | "any" |
| sharpening | masks are pushed towards 0 and 1 before they cut | `swap.sharpness` | 0 |
| L_egl | the evidence beside the mask, for and against all classes | `classifier.guidance`, `classifier.form` | 0 |
| L_reg | ALIGN's | `classifier.regularisation` | 0 |

Redrawing is what breaks a circle: a classifier that reads backgrounds teaches masks to keep them, and a background that
is kept travels along with its object. The images whose background contradicts their class are the only evidence against
it in the labels, and a classifier that reads backgrounds gets them wrong (JTT; Liu et al. 2021).

The masker's l1 and l2, and whether Grad-CAM's weights are differentiated (`alpha`), are ALIGN's settings,
`config.align`.
"""

from collections.abc import Mapping
from typing import Any, Literal

import ml_collections

from align_jax.algorithms import align
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, ramped
from align_jax.settings import BOOLEAN, ZERO_OR_MORE, Setting, keyword_settings, number, one_of, whole_number
from align_jax.swaps import SWAP_RULES, Partner, SwapSettings


def classifier_objective(
    shared: Mapping[str, Any],
    /,
    *,
    cls: float = 0.0,
    swapped_cls: float = 1.0,
    guidance: float = 1.0,
    form: Literal["bce", "energy"] = "energy",
    regularisation: float = 0.0,
) -> Objective:
    """L_clf = cls L_cls + swapped_cls L_cls(composite) + l3 L_egl + l4 L_reg.

    Args:
      shared: the other settings of `align.classifier_objective`, such as the weights within L_reg.
      cls: weight of the cross-entropy on the images as they are.
      swapped_cls: weight of the cross-entropy on composites.
      guidance: l3.
      form: of L_egl, see `align.classifier_objective`.
      regularisation: l4.
    """
    own = {"cls": cls, "swapped_cls": swapped_cls, "guidance": guidance, "form": form, "regularisation": regularisation}
    return align.classifier_objective(**{**shared, **own})


def warmup_objective(config: ml_collections.ConfigDict) -> Objective:
    """L_cls + l4 * L_reg: L_clf in warm-up, given a config."""
    own = dict(config.background_swap.classifier) | align.UNGUIDED
    return classifier_objective(dict(config.align.classifier), **own)


def masker_objective(config: ml_collections.ConfigDict, updates: int) -> Objective:
    """L_mask with an l1 that grows from ALIGN's to `masker.growth` times as much over the masker's `updates`.

    Early, a strong l1 would outweigh L_dist, and the masks would vanish; late, a weak one leaves background in them.
    """
    l1, growth = config.align.masker.sparsity, config.background_swap.masker.growth
    return align.masker_objective(
        sparsity=ramped(l1, growth * l1, 0, updates), smoothness=config.align.masker.smoothness
    )


def swap_settings(*, fill: str = "around", partner: Partner = "any", sharpness: float = 12.0) -> SwapSettings:
    """How composites are made; see `SwapSettings`."""
    return SwapSettings(fill, partner, sharpness)


ALGORITHM = Algorithm(
    lambda config: classifier_objective(dict(config.align.classifier), **config.background_swap.classifier),
    warmup_objective=warmup_objective,
    guided_terms=("egl", "swapped_cls"),
    guidance="learned",
    warms_up=True,
    masker_objective=masker_objective,
    swap=lambda config: swap_settings(**config.background_swap.swap),
    composites=lambda config: config.background_swap.masker.composites,
    mistakes=lambda config: config.background_swap.mistakes,
    title="Background swap",
    citation="beyond ALIGN's paper; redrawing as JTT (Liu et al. 2021)",
    settings=keyword_settings(
        classifier_objective,
        "classifier.",
        cls=ZERO_OR_MORE,
        swapped_cls=ZERO_OR_MORE,
        guidance=ZERO_OR_MORE,
        form=one_of(align.ALIGNMENTS),
        regularisation=ZERO_OR_MORE,
    )
    | keyword_settings(swap_settings, "swap.", **SWAP_RULES)
    | {
        # The masker's l1 at the end of the run, as a multiple of `config.align.masker.sparsity`.
        "masker.growth": Setting(1.5, number(0.0, 1000.0)),
        "masker.composites": Setting(False, BOOLEAN),
        # How many times as often the images are drawn that the classifier gets wrong at the end of warm-up.
        "mistakes": Setting(10, whole_number(at_least=1, at_most=100)),
    },
)
