"""Classification metrics of a whole domain, on the host.

The AUC is not a mean over batches, so probabilities and labels are collected first and scored here, in float64. Inputs
are per-example arrays, without the last batch's padding. NaN marks a value that does not apply (a class that the domain
lacks, an image without an object); `mean_where_defined` averages the others and counts them. What is measured is
listed in `scores.py`: a new metric is a line there.
"""

import numpy as np
from jaxtyping import Bool, Float, Int, Shaped
from scipy.stats import rankdata

from align_jax.labels import check_labels


def accuracy(probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> float:
    """The share of examples whose most probable class is the label; of equally probable classes the first counts.

    Raises:
      ValueError: no examples, a label outside the k classes, or a probability that is not finite.
    """
    return float(is_correct(probabilities, label).mean())


def per_class_accuracy(
    probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]
) -> Float[np.ndarray, " k"]:
    """Accuracy among the examples of each class (its recall); NaN for a class without examples.

    Raises:
      ValueError: as `accuracy`.
    """
    correct = is_correct(probabilities, label)
    classes = probabilities.shape[1]
    hits = np.bincount(label, weights=correct, minlength=classes)
    return _divide(hits, np.bincount(label, minlength=classes))


def balanced_accuracy(probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> float:
    """The mean of `per_class_accuracy` over the classes that occur: chance is 1 / their number, whatever their sizes.

    Raises:
      ValueError: as `accuracy`.
    """
    return mean_where_defined(per_class_accuracy(probabilities, label))[0]


def auc(probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> tuple[float, int]:
    """Macro one-vs-rest area under the ROC curve.

    For each class c, the chance that an example of c has a higher p_c than one of another class, ties counting half
    (Mann and Whitney's U divided by the number of pairs, from average ranks); then the mean over the classes:

        AUC_c = (sum_{i in c} rank(p_ic) - n_c (n_c + 1) / 2) / (n_c (n - n_c))

    Returns:
      (value, classes_left_out). A class without positives or without negatives has no AUC: it is left out of the mean,
      and counted. With every class left out the value is NaN.

    Raises:
      ValueError: as `accuracy`.

    Source: Hanley and McNeil (Radiology 1982) for AUC and U; that the paper's AUC is this macro mean is an assumption.
    """
    _check(probabilities, label)
    examples, classes = probabilities.shape
    positive = label[:, None] == np.arange(classes)
    positives = positive.sum(axis=0)
    rank_sum = np.where(positive, rankdata(probabilities.astype(np.float64), axis=0), 0.0).sum(axis=0)
    wins = rank_sum - positives * (positives + 1) / 2
    value, defined = mean_where_defined(_divide(wins, positives * (examples - positives)))
    return value, classes - defined


def mean_where_defined(values: Float[np.ndarray, " n"]) -> tuple[float, int]:
    """The mean of the values that are not NaN, and their count; (NaN, 0) where there are none.

    Example: mean IoU and its number of images, `mean_where_defined(np.asarray(mask_iou(mask, true_mask)))`.
    """
    defined = values[~np.isnan(values)].astype(np.float64)
    return (float(defined.mean()) if defined.size else float("nan")), defined.size


def is_correct(probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> Bool[np.ndarray, " n"]:
    """Whether each example's most probable class is its label.

    Raises:
      ValueError: as `accuracy`.
    """
    _check(probabilities, label)
    return probabilities.argmax(axis=1) == label


def _divide(part: Shaped[np.ndarray, " k"], whole: Shaped[np.ndarray, " k"]) -> Float[np.ndarray, " k"]:
    """part / whole in float64, NaN where whole is 0."""
    return np.divide(part, whole, out=np.full(len(part), np.nan), where=whole > 0)


def _check(probabilities: Float[np.ndarray, "n k"], label: Int[np.ndarray, " n"]) -> None:
    examples, classes = probabilities.shape
    if not examples:
        raise ValueError("no examples to score: the domain is empty, or every example was marked as padding")
    check_labels(label, classes)
    if not np.isfinite(probabilities.astype(np.float64)).all():
        raise ValueError("probabilities that are not finite cannot be scored: check the training losses for divergence")
