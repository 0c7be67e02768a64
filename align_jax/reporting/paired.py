"""Two methods on the same images, concept by concept: is one better, or is it chance which concepts were tested?"""

from collections.abc import Mapping

import numpy as np

from align_jax.evaluation.background_gap import BackgroundGap, background_gap, by_object
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


def gap_of(run: Run, role: str) -> BackgroundGap | None:
    """The gap and the flips of all domains of a plain test's `role`, with errors over the concepts that they share.

    Returns:
      None where the run has no such tests, or a data set without concepts.
    """
    pairs = on_both_backgrounds(run, role)
    if pairs is None:
        return None
    aligned, conflicting = pairs
    return background_gap(aligned.predicted, conflicting.predicted, aligned.label, aligned.concept)


def gap_difference(run: Run, reference: Run, role: str) -> PairedDifference | None:
    """A method's gap minus the reference's over the same objects; None where the objects are not the same."""
    own, others = on_both_backgrounds(run, role), on_both_backgrounds(reference, role)
    if own is None or others is None or not np.array_equal(own[0].identity, others[0].identity):
        return None
    first, second = (aligned.correct - conflicting.correct for aligned, conflicting in (own, others))
    return paired_difference(first, second, own[0].concept)


def on_both_backgrounds(run: Run, role: str) -> tuple[Predictions, Predictions] | None:
    """The same objects in one order, on aligned and on conflicting backgrounds; the domains follow one another."""
    aligned_role, _, conflicting_role = names.BY_BACKGROUND[role]
    tests = {(result.role, result.domain): f"{result.domain}/{result.split}" for result in run.results}
    both: tuple[list[Predictions], list[Predictions]] = ([], [])
    for domain in [domain for tested_as, domain in tests if tested_as == aligned_role]:
        aligned = read_predictions(run.path, [tests[aligned_role, domain]])
        also = [tests[test] for test in [(conflicting_role, domain)] if test in tests]
        conflicting = read_predictions(run.path, also)
        if aligned is None or conflicting is None:
            return None
        try:
            orders = by_object(aligned.object, conflicting.object)
        except ValueError:
            return None
        for predictions, order, of_background in zip((aligned, conflicting), orders, both, strict=True):
            of_background.append(Predictions(*(values[order] for values in predictions)))
    if not both[0]:
        return None
    first, second = (Predictions(*map(np.concatenate, zip(*of_background, strict=True))) for of_background in both)
    return first, second


def difference_sentences(runs: Mapping[str, Run], reference: str) -> list[str]:
    """Sentences on how each other method's accuracy and gap differ from the reference's, with 95 % intervals."""
    sentences = []
    for name, run in runs.items():
        if name == reference:
            continue
        accuracies = {role: accuracy_difference(run, runs[reference], role) for role in names.plain_tests(names.ROLES)}
        gaps = {role: gap_difference(run, runs[reference], role) for role in names.BY_BACKGROUND}
        for measured, differences in (("accuracy in points on the same images", accuracies), ("gap in points", gaps)):
            parts = [
                f"{names.role_title(role).lower()} {_in_points(difference)}"
                for role, difference in differences.items()
                if difference is not None
            ]
            if parts:
                sentences.append(f"{name} minus {reference}, {measured}: {'; '.join(parts)}")
    return sentences


def _in_points(difference: PairedDifference) -> str:
    low, high = difference.interval
    interval = "too few concepts for an interval" if np.isnan(low) else f"{100 * low:+.1f}, {100 * high:+.1f}"
    return f"{100 * difference.difference:+.1f} [{interval}]"
