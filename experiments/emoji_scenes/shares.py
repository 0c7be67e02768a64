"""The share of the distance from a reference to a ceiling that a method closes, with an interval.

    share = (accuracy(method) - accuracy(reference)) / (accuracy(ceiling) - accuracy(reference))

All three have the same seeds: a seed gives each method the same batches, and mostly the same initial weights, so much
of its effect cancels. The interval covers a new draw of both test concepts and training seeds: each resample draws both
with replacement, the same for all three. The variance of n seeds drawn with replacement is too small by a factor of
(n - 1) / n, so the draws are stretched; intervals from only two seeds remain rough. Where the denominator may be 0, the
share is left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped


class Estimate(NamedTuple):
    """A value and its 95 % percentile interval."""

    value: float
    interval: tuple[float, float]


class Gain(NamedTuple):
    """A method's gain over the reference.

    Attributes:
      difference: the difference of the accuracies, in [-1, 1].
      share: the share of the distance to the ceiling that it closes; None where that distance may be 0.
    """

    difference: Estimate
    share: Estimate | None


def gain(
    method: Float[np.ndarray, "s n"],
    reference: Float[np.ndarray, "s n"],
    ceiling: Float[np.ndarray, "s n"] | None = None,
    *,
    concept: Shaped[np.ndarray, " n"],
    resamples: int = 4000,
    seed: int = 0,
) -> Gain:
    """The gain of a method, from 1 (correct) or 0 for each seed and image, with the images in the same order.

    Args:
      method, reference, ceiling: one row per seed, with the seeds in the same order. Without a ceiling there is no
        share.
      concept: each image's concept; images of one concept are drawn together.
      resamples: draws of concepts and seeds.
      seed: of the draws.
    """
    generator = np.random.default_rng(seed)
    _, index = np.unique(concept, return_inverse=True)
    images = np.bincount(index).astype(np.float64)
    concepts = len(images)
    drawn_concepts = generator.multinomial(concepts, np.full(concepts, 1 / concepts), size=resamples)
    seeds = len(method)
    drawn_seeds = generator.multinomial(seeds, np.full(seeds, 1 / seeds), size=resamples) / seeds
    if seeds > 1:
        drawn_seeds = 1 / seeds + (drawn_seeds - 1 / seeds) * np.sqrt(seeds / (seeds - 1))

    def resampled(correct: Float[np.ndarray, "s n"]) -> Float[np.ndarray, " resamples"]:
        by_concept = np.stack([np.bincount(index, weights=row, minlength=concepts) for row in correct])
        return ((drawn_seeds @ by_concept) * drawn_concepts).sum(1) / (drawn_concepts @ images)

    of_method, of_reference = resampled(method), resampled(reference)
    difference = Estimate(float(method.mean() - reference.mean()), _interval(of_method - of_reference))
    if ceiling is None:
        return Gain(difference, None)
    of_ceiling = resampled(ceiling)
    if _interval(of_ceiling - of_reference)[0] <= 0:
        return Gain(difference, None)
    value = difference.value / float(ceiling.mean() - reference.mean())
    # In a few draws the distance is not positive, and no divisor: their shares count as plus or minus infinity.
    with np.errstate(divide="ignore", invalid="ignore"):
        shares = np.where(
            of_ceiling > of_reference,
            (of_method - of_reference) / (of_ceiling - of_reference),
            np.where(of_method > of_reference, np.inf, -np.inf),
        )
    return Gain(difference, Estimate(value, _interval(shares)))


def _interval(draws: Float[np.ndarray, " resamples"]) -> tuple[float, float]:
    low, high = np.quantile(draws, [0.025, 0.975], method="nearest")
    return float(low), float(high)
