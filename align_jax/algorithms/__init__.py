"""One short file a method: its losses and its objective. A new method is a new file and a line in `ALGORITHMS`."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections

from align_jax.algorithms import (
    align,
    coral,
    dre,
    erm,
    gradia,
    group_dro,
    haics,
    irm,
    mixup,
    rrr,
    sgt,
    vrex,
)
from align_jax.objectives import Objective


class Algorithm(NamedTuple):
    """A method, from a config.

    Attributes:
      classifier_objective: L_clf.
      guided_terms: those of its terms that read masks; the others make the objective of warm-up.
      guidance: where its masks come from unless `config.guidance` says otherwise; see `guidance.GUIDANCES`.
      warms_up: whether the guided terms wait for `config.schedule.warmup`.
      restart: before which step the optimiser forgets its moments, or None.
    """

    classifier_objective: Callable[[ml_collections.ConfigDict], Objective]
    guided_terms: tuple[str, ...] = ()
    guidance: str = "none"
    warms_up: bool = False
    restart: Callable[[ml_collections.ConfigDict], int | None] = lambda config: None


ALGORITHMS: dict[str, Algorithm] = {
    "align": Algorithm(
        lambda config: align.classifier_objective(**config.align.classifier),
        guided_terms=("egl", "swapped_cls"),
        guidance="learned",
        warms_up=True,
    ),
    "erm": Algorithm(lambda config: erm.classifier_objective()),
    "dre": Algorithm(lambda config: dre.classifier_objective(**config.align.classifier)),
    "sgt": Algorithm(lambda config: sgt.classifier_objective(**config.sgt)),
    "irm": Algorithm(
        lambda config: irm.classifier_objective(**config.irm), restart=lambda config: irm.restart(**config.irm)
    ),
    "group_dro": Algorithm(lambda config: group_dro.classifier_objective(**config.group_dro)),
    "mixup": Algorithm(lambda config: mixup.classifier_objective(**config.mixup)),
    "coral": Algorithm(lambda config: coral.classifier_objective(**config.coral)),
    "vrex": Algorithm(
        lambda config: vrex.classifier_objective(**config.vrex), restart=lambda config: vrex.restart(**config.vrex)
    ),
    "rrr": Algorithm(lambda config: rrr.classifier_objective(**config.rrr), guided_terms=("reasons",), guidance="true"),
    "gradia": Algorithm(
        lambda config: gradia.classifier_objective(**config.gradia), guided_terms=("attention",), guidance="true"
    ),
    "haics": Algorithm(
        lambda config: haics.classifier_objective(**config.haics), guided_terms=("attention",), guidance="true"
    ),
}
