"""What share of the distance from a reference to a ceiling a method closes, with an interval.

    share = (accuracy(method) - accuracy(reference)) / (accuracy(ceiling) - accuracy(reference))

All three are of the same seeds: a seed gives each method the same batches, and mostly the same weights to begin with,
so that much of what it changes cancels. The interval covers a new draw of both test concepts and training seeds: each
resample draws both with replacement, the same for all three. n seeds that are drawn with replacement vary by n - 1
parts in n too little, for which the draws are stretched; two seeds remain two, and intervals that rest on them are
rough. A ratio says nothing where its denominator may be 0; it is then left out.
"""

from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped


class Estimate(NamedTuple):
    """A value and its 95 % percentile interval."""

    value: float
    interval: tuple[float, float]


class Gain(NamedTuple):
    """What a method gains over the reference.

    Attributes:
      difference: of the accuracies, in [-1, 1].
      share: of the distance to the ceiling that it closes; None where that distance may be 0.
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
    """The gain of a method, from what was right: 1 or 0 for each seed and image, the images in one order.

    Args:
      method, reference, ceiling: one row a seed, the same seeds in one order. Without a ceiling there is no share.
      concept: what each image was made from; images of one concept are drawn together.
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
    # The few draws in which the distance is not positive cannot be divided by; they count as unbounded, either way.
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
