"""Background swap: learned masks take a classifier off its backgrounds. Beyond ALIGN's paper, built from its parts.

ALIGN's masks say where the object is, and L_egl asks Grad-CAM to lie there. That does not change what a prediction
depends on. Here the classifier is trained on composites instead: what the mask keeps of an image, on the background of
another. Each part can be switched, in `config.background_swap`:

| part | what it does | setting | off |
|---|---|---|---|
| swapped cross-entropy | the classifier learns from composites, see `swaps` | `swapped_cls` | 0 |
| plain cross-entropy | ... and how much from the images as they are | `cls` | 1 leaves ALIGN's |
| redrawing | images that the classifier gets wrong at the end of warm-up are drawn more often | `mistakes` | 1 |
| looking again | mistakes are looked for again every so many steps | `redraw_every` | the default |
| composites for the masker | other images replace what a mask removes, in L_dist too | `composites` | the default |
| growing l1 | the masker's l1 grows from ALIGN's to another value | `final_sparsity` | ALIGN's l1 |
| filling | the object of the image that lends its background is filled in | `fill` | "none" |
| partner | the image that lends its background is any, or one of another class | `partner` | the default |
| sharpening | masks are pushed towards 0 and 1, from a threshold, before they cut | `sharpness`, `threshold` | 0 |
| L_egl, L_reg | ALIGN's | `guidance`, `regularisation` | the default |

Redrawing is what breaks a circle: a classifier that reads backgrounds teaches masks to keep them, and a background that
is kept travels along with its object. The images whose background contradicts their class are the only evidence against
it in the labels, and a classifier that reads backgrounds gets them wrong (JTT; Liu et al. 2021).

The masker's l1 and l2, and how Phi is computed, are ALIGN's settings, `config.align`.
"""

from typing import Any

import ml_collections

from align_jax.algorithms import align
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, ramped
from align_jax.settings import BOOLEAN, FRACTION, ZERO_OR_MORE, Setting, keyword_settings, number, one_of, whole_number
from align_jax.swaps import HOLE_FILLS, PARTNERS, Partner, SwapSettings


def classifier_objective(
    *, cls: float = 0.0, swapped_cls: float = 1.0, guidance: float = 0.0, regularisation: float = 0.0, **settings: Any
) -> Objective:
    """L_clf = cls L_cls + swapped_cls L_cls(composite) + l3 L_egl + l4 L_reg.

    Args:
      cls: weight of the cross-entropy on the images as they are.
      swapped_cls: weight of the cross-entropy on composites.
      guidance: l3.
      regularisation: l4.
      **settings: the others of `align.classifier_objective`.
    """
    return align.classifier_objective(
        cls=cls, swapped_cls=swapped_cls, guidance=guidance, regularisation=regularisation, **settings
    )


def masker_objective(*, sparsity: float, final_sparsity: float, smoothness: float, updates: int) -> Objective:
    """L_mask with an l1 that goes from `sparsity` to `final_sparsity` over the masker's `updates`.

    Early, a strong l1 would outweigh L_dist, and the masks would vanish; late, a weak one leaves background in them.
    """
    return align.masker_objective(sparsity=ramped(sparsity, final_sparsity, 0, updates), smoothness=smoothness)


def swap_settings(
    *, fill: str = "around", partner: Partner = "any", sharpness: float = 12.0, threshold: float = 0.5
) -> SwapSettings:
    """How composites are made; see `SwapSettings`."""
    return SwapSettings(fill, partner, sharpness, threshold)


def rounds_objective(config: ml_collections.ConfigDict) -> Objective:
    """L_clf in the rounds, given a config."""
    own = config.background_swap
    return classifier_objective(
        **(
            dict(config.align.classifier)
            | {name: own[name] for name in ("cls", "swapped_cls", "guidance", "regularisation")}
        )
    )


def warmup_objective(config: ml_collections.ConfigDict) -> Objective:
    """L_cls + l4 * L_reg: L_clf in warm-up, given a config."""
    own = {"cls": 1.0, "swapped_cls": 0.0, "guidance": 0.0, "regularisation": config.background_swap.regularisation}
    return classifier_objective(**(dict(config.align.classifier) | own))


ALGORITHM = Algorithm(
    rounds_objective,
    warmup_objective=warmup_objective,
    guided_terms=("egl", "swapped_cls"),
    guidance="learned",
    warms_up=True,
    masker_objective=lambda config, updates: masker_objective(
        **config.align.masker, final_sparsity=config.background_swap.final_sparsity, updates=updates
    ),
    swap=lambda config: swap_settings(
        fill=config.background_swap.fill,
        partner=config.background_swap.partner,
        sharpness=config.background_swap.sharpness,
        threshold=config.background_swap.threshold,
    ),
    composites=lambda config: config.background_swap.composites,
    mistakes=lambda config: config.background_swap.mistakes,
    redraw_every=lambda config: config.background_swap.redraw_every,
    title="Background swap",
    citation="beyond ALIGN's paper; redrawing as JTT (Liu et al. 2021)",
    settings={
        "cls": Setting(0.0, ZERO_OR_MORE),
        "swapped_cls": Setting(1.0, ZERO_OR_MORE),
        "guidance": Setting(0.0, ZERO_OR_MORE),
        "regularisation": Setting(0.0, ZERO_OR_MORE),
        # How many times as often the images are drawn that the classifier gets wrong at the end of warm-up.
        "mistakes": Setting(10, whole_number(at_least=1, at_most=100)),
        # After how many further steps its mistakes are looked for again; 0 leaves them as they are.
        "redraw_every": Setting(0, whole_number(at_least=0)),
        # The masker's l1 at the end of the run; it begins with `config.align.masker.sparsity`.
        "final_sparsity": Setting(1.75, ZERO_OR_MORE),
        "composites": Setting(False, BOOLEAN),
    }
    | keyword_settings(
        swap_settings,
        fill=one_of(HOLE_FILLS),
        partner=one_of(PARTNERS),
        sharpness=number(0.0, 1000.0),
        threshold=FRACTION,
    ),
)
