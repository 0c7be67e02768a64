"""How much predictions depend on the background: the same objects on their class's own one, and on another class's.

All is paired by object, so that what makes an object hard for both backgrounds cancels. Errors are bootstrapped over
concepts, as in `bootstrap.py`.
"""

from collections.abc import Mapping, Sequence
from typing import Any, NamedTuple

import numpy as np
from jaxtyping import Int, Shaped

from align_jax.data.domains import BACKGROUND_ROLES, EvaluationSplit
from align_jax.evaluation.bootstrap import clustered_standard_error

Examples = Mapping[str, Shaped[np.ndarray, "n ..."]]


class BackgroundGap(NamedTuple):
    """What the background decides, over the objects of a domain.

    Attributes:
      examples: how many objects there are.
      gap: accuracy on aligned backgrounds - accuracy on conflicting ones.
      flips: the share of objects whose predicted class differs between the two.
    """

    examples: int
    gap: float
    gap_standard_error: float
    flips: float
    flips_standard_error: float


def background_gap(
    aligned: Int[np.ndarray, " n"],
    conflicting: Int[np.ndarray, " n"],
    label: Int[np.ndarray, " n"],
    concept: Shaped[np.ndarray, " n"],
) -> BackgroundGap:
    """The gap and the flips.

    Args:
      aligned: the class that is predicted of each object on its class's own background.
      conflicting: of the same objects, in the same order, on another class's.
      label: the class of each object.
      concept: what to cluster errors by.
    """
    difference = (aligned == label).astype(np.float64) - (conflicting == label)
    flipped = (aligned != conflicting).astype(np.float64)
    return BackgroundGap(
        examples=len(label),
        gap=float(difference.mean()),
        gap_standard_error=clustered_standard_error(difference, concept),
        flips=float(flipped.mean()),
        flips_standard_error=clustered_standard_error(flipped, concept),
    )


def by_object(
    first: Shaped[np.ndarray, " n"], second: Shaped[np.ndarray, " m"]
) -> tuple[Int[np.ndarray, " n"], Int[np.ndarray, " n"]]:
    """The indices that bring two splits into one order, given the objects that each of them shows.

    Raises:
      ValueError: the objects are not the same, or one comes twice.
    """
    orders = np.argsort(first), np.argsort(second)
    objects = first[orders[0]]
    if not np.array_equal(objects, second[orders[1]]) or len(np.unique(objects)) < len(objects):
        raise ValueError("two splits that should show the same objects, each once, do not")
    return orders


def background_gaps(
    tested: Sequence[tuple[EvaluationSplit, Mapping[str, Shaped[np.ndarray, "..."]]]],
) -> list[dict[str, Any]]:
    """The gap of every domain that was tested on aligned and on conflicting backgrounds, as `summary.json` has it.

    Args:
      tested: splits with the scores of their examples, see `Evaluator.results`. Those of other roles are ignored, and
        those whose examples have no field `object` cannot be paired.
    """
    by_test = {(split.role, split.domain): examples for split, examples in tested if "object" in examples}
    gaps = []
    for role, (aligned_role, _, conflicting_role) in BACKGROUND_ROLES.items():
        for domain in [domain for tested_as, domain in by_test if tested_as == aligned_role]:
            aligned, conflicting = by_test[aligned_role, domain], by_test.get((conflicting_role, domain))
            if conflicting is not None:
                measured = _gap(aligned, conflicting)._asdict()
                # The spread over fewer than two concepts is unknown.
                known = {name: value for name, value in measured.items() if np.isfinite(value)}
                gaps.append({"domain": domain, "role": role} | known)
    return gaps


def _gap(aligned: Examples, conflicting: Examples) -> BackgroundGap:
    first, second = by_object(aligned["object"], conflicting["object"])
    return background_gap(
        _predicted(aligned)[first],
        _predicted(conflicting)[second],
        aligned["label"][first],
        # Without concepts each object stands for itself.
        aligned.get("concept", aligned["object"])[first],
    )


def _predicted(examples: Examples) -> Int[np.ndarray, " n"]:
    return examples["probabilities"].argmax(-1)
