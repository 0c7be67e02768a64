"""Standard errors and intervals for means over images that are not independent.

Images of one concept (one emoji on many backgrounds, one animal before one camera) tend to be right or wrong together.
If they always are, a test set of 560 images of 56 concepts holds only as much evidence as 56 images, and the usual
standard error, which counts images, is too small by a factor of sqrt(10). The cluster bootstrap therefore draws whole
concepts, with replacement, each with all its images. Two methods are compared by their difference on each image, so
that what makes a concept hard for both cancels.

The intervals cover a new draw of concepts, not of training seeds. Values are per-image numbers whose mean is reported
(correct or not, IoU, comprehensiveness); NaN marks an image to which the metric does not apply, and is left out. With
fewer than two clusters their spread is unknown, and the errors are NaN.

The bootstrap's percentiles alone are too narrow where clusters are few: of 20 normal values without an effect, 7 % of
the 95 % intervals leave out 0, of 8 values 11 %. So they are expanded, as Hesterberg says, by what Student's t has over
the normal distribution: then it is 4 to 6 % for 8 clusters and more. With fewer than `FEWEST_CLUSTERS` the draws are
too coarse for an interval, and it is NaN.

Results depend only on the arguments. Memory: about 16 bytes times resamples times clusters.

Source: Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapters 6 and 13; Field and Welsh, Bootstrapping
clustered data (JRSS B 2007), the random cluster bootstrap; Hesterberg, What teachers should know about the bootstrap
(The American Statistician 2015), section 4.2, the expanded percentile interval.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped
from scipy.special import ndtr, stdtrit

FEWEST_CLUSTERS = 8


class PairedDifference(NamedTuple):
    """The mean of a - b over images, with its standard error and interval over clusters."""

    difference: float
    standard_error: float
    interval: tuple[float, float]


def clustered_standard_error(
    values: Float[np.ndarray, " n"], cluster: Shaped[np.ndarray, " n"], *, resamples: int = 2000, seed: int = 0
) -> float:
    """Standard error of `values.mean()` under a new draw of clusters.

    Close to sqrt(sum_g (sum_{i in g} v_i - mean)^2) / n for many clusters g of similar size, with v_i - mean
    summed inside a cluster *before* squaring.

    Args:
      values: one number per image; NaN is left out.
      cluster: each image's concept, as any label, such as a number or a name.
      resamples: draws of the clusters.
      seed: of the draws.

    Raises:
      ValueError: fewer than two resamples.
    """
    return float(_resampled_means(values, cluster, resamples, seed).std(ddof=1))


def clustered_interval(
    values: Float[np.ndarray, " n"],
    cluster: Shaped[np.ndarray, " n"],
    level: float = 0.95,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> tuple[float, float]:
    """Expanded percentile interval (low, high) of `values.mean()` under a new draw of clusters.

    NaN with fewer than `FEWEST_CLUSTERS` clusters.

    Args:
      values: one number per image; NaN is left out.
      cluster: each image's concept.
      level: the interval's intended coverage, in (0, 1).
      resamples: draws of the clusters.
      seed: of the draws.

    Raises:
      ValueError: level outside (0, 1), or fewer than two resamples.
    """
    return _interval(_resampled_means(values, cluster, resamples, seed), level, _clusters(values, cluster))


def paired_difference(
    values_a: Float[np.ndarray, " n"],
    values_b: Float[np.ndarray, " n"],
    cluster: Shaped[np.ndarray, " n"],
    level: float = 0.95,
    *,
    resamples: int = 2000,
    seed: int = 0,
) -> PairedDifference:
    """The mean of `values_a - values_b`, two methods on the same images in the same order, with its error.

    Both methods get the same draws of clusters. Images where either value is NaN are left out of both.

    Returns:
      (difference, standard error, (low, high)); positive where a has the higher values, all 0 for identical methods.

    Raises:
      ValueError: as `clustered_interval`.
    """
    difference = values_a.astype(np.float64) - values_b.astype(np.float64)
    means = _resampled_means(difference, cluster, resamples, seed)
    defined = difference[~np.isnan(difference)]
    return PairedDifference(
        difference=float(defined.mean()) if defined.size else float("nan"),
        standard_error=float(means.std(ddof=1)),
        interval=_interval(means, level, _clusters(difference, cluster)),
    )


def _resampled_means(
    values: Float[np.ndarray, " n"], cluster: Shaped[np.ndarray, " n"], resamples: int, seed: int
) -> Float[np.ndarray, " resamples"]:
    """The mean over the images of each draw of clusters; NaN for fewer than two clusters."""
    if resamples < 2:
        raise ValueError(f"resamples {resamples} must be at least 2 for a spread; 2000 is the default")
    defined = ~np.isnan(values)
    _, index = np.unique(cluster[defined], return_inverse=True)
    images = np.bincount(index)
    clusters = len(images)
    if clusters < 2:
        return np.full(resamples, np.nan)
    total = np.bincount(index, weights=values[defined])
    # The mean needs only the number of times that each cluster was drawn.
    drawn = np.random.default_rng(seed).multinomial(clusters, np.full(clusters, 1 / clusters), size=resamples)
    return (drawn @ total) / (drawn @ images)


def _clusters(values: Float[np.ndarray, " n"], cluster: Shaped[np.ndarray, " n"]) -> int:
    """How many clusters have a value."""
    return len(np.unique(cluster[~np.isnan(values)]))


def _interval(means: Float[np.ndarray, " resamples"], level: float, clusters: int) -> tuple[float, float]:
    if not 0 < level < 1:
        raise ValueError(f"level {level} must lie between 0 and 1; 0.95 is the default")
    if clusters < FEWEST_CLUSTERS:
        return float("nan"), float("nan")
    # The normal distribution has as much beyond sqrt(n / (n - 1)) t as Student's, with n - 1 degrees, has beyond t.
    tail = ndtr(np.sqrt(clusters / (clusters - 1)) * stdtrit(clusters - 1, (1 - level) / 2))
    low, high = np.quantile(means, [tail, 1 - tail])
    return float(low), float(high)
