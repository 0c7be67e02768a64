"""One short file a method: its objectives. A new method is a new file and a line in `ALGORITHMS`."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections

from align_jax.algorithms import align, erm
from align_jax.objectives import Objective


class Algorithm(NamedTuple):
    """A method's objectives, from a config.

    Attributes:
      classifier_objective: L_clf of the rounds.
      masker_objective: L_mask, or None where no masker is trained.
      guided_terms: the classifier's terms that warm-up leaves out.
    """

    classifier_objective: Callable[[ml_collections.ConfigDict], Objective]
    masker_objective: Callable[[ml_collections.ConfigDict], Objective] | None
    guided_terms: tuple[str, ...]


ALGORITHMS: dict[str, Algorithm] = {
    "align": Algorithm(
        lambda config: align.classifier_objective(**config.align.classifier),
        lambda config: align.masker_objective(**config.align.masker),
        guided_terms=("egl",),
    ),
    "erm": Algorithm(lambda config: erm.classifier_objective(), None, guided_terms=()),
}
