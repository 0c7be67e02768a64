"""Two methods on the same images, concept by concept: is one better, or is it chance which concepts were tested?"""

from collections.abc import Mapping

import numpy as np

from align_jax.evaluation.bootstrap import PairedDifference, clustered_standard_error, paired_difference
from align_jax.reporting import names
from align_jax.runs.read import Run
from align_jax.runs.read_arrays import Predictions, read_predictions


def correct_images(run: Run, role: str) -> Predictions | None:
    """What a run predicted of the images of a role's domains.

    Returns:
      None where the run has no such images, or a data set without concepts.

    Raises:
      BrokenFile: `predictions.npz` is broken.
    """
    tests = [f"{result.domain}/{result.split}" for result in run.results if result.role == role]
    return read_predictions(run.path, tests)


def accuracy_standard_error(run: Run, role: str) -> float | None:
    """The standard error of a role's accuracy over a new draw of concepts, which its domains share."""
    images = correct_images(run, role)
    return None if images is None else clustered_standard_error(images.correct, images.concept)


def accuracy_difference(run: Run, reference: Run, role: str) -> PairedDifference | None:
    """A method's accuracy minus the reference's on the same images; None where the images are not the same."""
    first, second = correct_images(run, role), correct_images(reference, role)
    if first is None or second is None or not np.array_equal(first.identity, second.identity):
        return None
    return paired_difference(first.correct, second.correct, first.concept)


def difference_sentences(runs: Mapping[str, Run], reference: str) -> list[str]:
    """Sentences on how each other method's accuracy differs from the reference's, with 95 % intervals over concepts."""
    sentences = []
    for name, run in runs.items():
        if name == reference:
            continue
        differences = {role: accuracy_difference(run, runs[reference], role) for role in names.plain_tests(names.ROLES)}
        parts = [
            f"{names.role_title(role).lower()} {100 * difference.difference:+.1f} "
            f"[{100 * difference.interval[0]:+.1f}, {100 * difference.interval[1]:+.1f}]"
            for role, difference in differences.items()
            if difference is not None
        ]
        if parts:
            sentences.append(f"{name} minus {reference}, accuracy in points on the same images: {'; '.join(parts)}")
    return sentences
