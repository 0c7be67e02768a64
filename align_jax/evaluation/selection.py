"""Which of a run's checkpoints is reported.

`training_domain_validation` is the one with the best mean validation accuracy over the training domains; `last` is the
last one; `oracle` is the one that is best on the reported test itself (out of distribution, or in distribution if the
protocol has no other test). The oracle uses labels that are unknown when a model is chosen: it bounds what a better
rule could reach, and is not a result. (Gulrajani and Lopez-Paz, "In Search of Lost Domain Generalization", 2021; their
oracle chooses among hyper-parameters at the last step, this one among the steps of a run.)
"""

import dataclasses
from collections.abc import Sequence
from typing import NamedTuple

SELECTIONS = ("training_domain_validation", "last", "oracle")


class Evaluated(NamedTuple):
    """One split's accuracy at one step."""

    role: str
    accuracy: float


@dataclasses.dataclass(frozen=True)
class Selected:
    """An evaluated step.

    Attributes:
      step: classifier updates.
      score: the number that the selection compares; higher is better.
      validation_accuracy: the training domains' mean.
    """

    step: int
    score: float
    validation_accuracy: float


def better(selection: str, step: int, evaluated: Sequence[Evaluated], best: Selected | None) -> Selected:
    """The better of this step and the best step so far; of equals, the earlier.

    Args:
      selection: one of `SELECTIONS`.
      step: the step evaluated now.
      evaluated: every split's accuracy at this step; at least one has the role "validation".
      best: the best of the earlier steps, or None.
    """
    validation = mean_accuracy(evaluated, "validation")
    if selection == "oracle":
        tested = "ood" if any(split.role == "ood" for split in evaluated) else "id"
        candidate = Selected(step, mean_accuracy(evaluated, tested), validation)
    elif selection == "last":
        candidate = Selected(step, float(step), validation)
    else:
        candidate = Selected(step, validation, validation)
    return candidate if best is None or candidate.score > best.score else best


def mean_accuracy(evaluated: Sequence[Evaluated], role: str) -> float:
    """The unweighted mean over the splits of a role; there must be at least one."""
    values = [split.accuracy for split in evaluated if split.role == role]
    return sum(values) / len(values)
