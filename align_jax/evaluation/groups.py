"""Accuracy by group: a group of the results is a pair of class and environment, such as land birds on water.

The worst group's accuracy is what a classifier keeps where its shortcut misleads it (Sagawa et al. 2020).
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped

from align_jax.evaluation.metrics import is_correct

# The accuracy of fewer examples is mostly chance, and the worst of many such groups is always bad.
FEWEST_EXAMPLES = 10


class GroupAccuracy(NamedTuple):
    """The accuracy of the examples of one class in one environment."""

    label: int
    group: str
    examples: int
    accuracy: float


def group_accuracies(
    probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"], group: Shaped[np.ndarray, " n"]
) -> list[GroupAccuracy]:
    """The accuracy of each pair of class and group that has examples, in the order of labels and names.

    Raises:
      ValueError: as `metrics.accuracy`.
    """
    correct = is_correct(probabilities, label)
    names, number = np.unique(group, return_inverse=True)
    pairs, pair = np.unique(label.astype(np.int64) * len(names) + number, return_inverse=True)
    examples, hits = np.bincount(pair), np.bincount(pair, weights=correct)
    return [
        GroupAccuracy(int(pairs[i] // len(names)), str(names[pairs[i] % len(names)]), int(n), float(hits[i] / n))
        for i, n in enumerate(examples)
    ]


def worst_group(accuracies: list[GroupAccuracy]) -> tuple[GroupAccuracy | None, int]:
    """The group of the lowest accuracy (of several, the first), and how many groups were left out.

    Groups of fewer than `FEWEST_EXAMPLES` are left out. Without any other there is no worst one.
    """
    judged = [group for group in accuracies if group.examples >= FEWEST_EXAMPLES]
    return min(judged, key=lambda group: group.accuracy, default=None), len(accuracies) - len(judged)
