"""Two methods on the same images, concept by concept: is one better, or was it the draw of the concepts?"""

from collections.abc import Mapping

import numpy as np
from jaxtyping import Float, Shaped

from align_jax.errors import UserError
from align_jax.evaluation.bootstrap import PairedDifference, clustered_standard_error, paired_difference
from align_jax.reporting import names
from align_jax.runs.read import FAILED_READS, Run


def correct_images(
    run: Run, role: str
) -> tuple[Float[np.ndarray, " n"], Shaped[np.ndarray, " n"], Shaped[np.ndarray, " n"]] | None:
    """For each image of a role's domains: whether it was predicted right (1 or 0), its concept, and its id.

    Returns:
      None where the run has no such images, or a data set without concepts.

    Raises:
      UserError: `predictions.npz` is broken.
    """
    path = run.path / "predictions.npz"
    splits = [f"{result.get('domain')}/{result.get('split')}" for result in run.results if result.get("role") == role]
    if not path.exists() or not splits:
        return None
    try:
        with np.load(path, allow_pickle=False) as arrays:
            if any(f"{split}/concept" not in arrays for split in splits):
                return None
            correct = [arrays[f"{s}/probabilities"].argmax(-1) == arrays[f"{s}/label"] for s in splits]
            concept, identity = (
                np.concatenate([arrays[f"{split}/{name}"] for split in splits]) for name in ("concept", "id")
            )
    except FAILED_READS as error:
        raise UserError(f"{path} is broken ({error}): delete it, or run the training again") from error
    return np.concatenate(correct).astype(np.float64), concept, identity


def accuracy_standard_error(run: Run, role: str) -> float | None:
    """The standard error of a role's accuracy over a new draw of concepts, which its domains share."""
    images = correct_images(run, role)
    return None if images is None else clustered_standard_error(images[0], images[1])


def accuracy_difference(run: Run, reference: Run, role: str) -> PairedDifference | None:
    """A method's accuracy less the reference's on the same images; None where the images are not the same."""
    first, second = correct_images(run, role), correct_images(reference, role)
    if first is None or second is None or not np.array_equal(first[2], second[2]):
        return None
    return paired_difference(first[0], second[0], first[1])


def difference_sentences(runs: Mapping[str, Run], reference: str) -> list[str]:
    """For each method but the reference, its differences of accuracy in points, with 95 % intervals over concepts."""
    sentences = []
    for name, run in runs.items():
        if name == reference:
            continue
        roles = names.in_role_order([role for role in names.ROLES if role != "validation"])
        differences = {role: accuracy_difference(run, runs[reference], role) for role in roles}
        parts = [
            f"{names.role_title(role).lower()} {100 * difference.difference:+.1f} "
            f"[{100 * difference.interval[0]:+.1f}, {100 * difference.interval[1]:+.1f}]"
            for role, difference in differences.items()
            if difference is not None
        ]
        if parts:
            sentences.append(f"{name} less {reference}, accuracy in points on the same images: {'; '.join(parts)}")
    return sentences
