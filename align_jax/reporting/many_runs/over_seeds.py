"""Means and standard errors over seeds, averages of them, which of them are in bold, and how they are printed."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting.columns import Metric
from align_jax.tables.table import Cell


@dataclass(frozen=True)
class SeedMean:
    """A mean over seeds in the metric's own unit; None where nothing was measured.

    Attributes:
      error: of the mean, sd / sqrt(seeds); None for one seed.
      seeds: how many runs it is over.
      planned: how many there are or a sweep planned, where not all of them are complete with a finite value; else 0.
      best: nothing that it is compared with is better by more than one standard error of the difference; where
        that is not known, nothing is better.
      blank: there can be no value, as for a domain that was trained on.
    """

    value: float | None = None
    error: float | None = None
    seeds: int = 0
    planned: int = 0
    best: bool = False
    blank: bool = False


def over_seeds(by_seed: Mapping[int, float], planned: int = 0) -> SeedMean:
    """Mean and standard error over the seeds whose value is finite; missing where there are none."""
    finite = _finite(by_seed)
    seeds = len(finite)
    planned = max(planned, len(by_seed))
    planned = planned if planned > seeds else 0
    if not seeds:
        return SeedMean(planned=planned)
    mean = math.fsum(finite.values()) / seeds
    error = None
    if seeds > 1:
        variance = math.fsum((value - mean) ** 2 for value in finite.values()) / (seeds - 1)
        error = math.sqrt(variance / seeds)
    return SeedMean(mean, error, seeds, planned)


def average(parts: Sequence[Mapping[int, float]]) -> SeedMean:
    """The unweighted mean of several means over seeds; missing unless every one of them is there.

    Where all have the same seeds the error is that of the seeds' averages, which keeps what they share; else the mean
    of the means stands without one.
    """
    parts = [_finite(part) for part in parts]
    if not parts or not all(parts):
        return SeedMean()
    seeds = set(parts[0])
    if all(set(part) == seeds for part in parts):
        return over_seeds({seed: math.fsum(part[seed] for part in parts) / len(parts) for seed in sorted(seeds)})
    means = [math.fsum(part.values()) / len(part) for part in parts]
    return SeedMean(math.fsum(means) / len(means))


def _finite(by_seed: Mapping[int, float]) -> dict[int, float]:
    return {seed: value for seed, value in by_seed.items() if math.isfinite(value)}


def marked(metric: Metric, means: Sequence[SeedMean]) -> list[SeedMean]:
    """Marks the best mean and those that differ from it by at most one standard error of the difference.

    That error is sqrt(a^2 + b^2) for two means with the errors a and b. Where one of the two has none, as over a single
    seed, it is not known, and nothing is near the best but what is printed alike. Nothing is marked where every mean
    would be, as then nothing stands out.
    """
    present = [mean for mean in means if mean.value is not None]
    if metric.better == "neither" or len(present) < 2:
        return list(means)
    best = (max if metric.better == "higher" else min)(present, key=lambda mean: mean.value or 0.0)

    def close(mean: SeedMean) -> bool:
        if mean.value is None or best.value is None:
            return False
        if metric.text(mean.value) == metric.text(best.value):
            return True
        if mean.error is None or best.error is None:
            return False
        difference, error = abs(mean.value - best.value), math.hypot(mean.error, best.error)
        # Exactly one error apart is within it, whatever the last bit of the difference is.
        return difference <= error or math.isclose(difference, error, rel_tol=1e-9)

    if all(close(mean) for mean in present):
        return list(means)
    return [replace(mean, best=close(mean)) for mean in means]


def printed(metric: Metric, mean: SeedMean, usual_seeds: int = 0) -> Cell:
    """The mean in the metric's unit, with its error and, if it is not the usual one, its number of seeds."""
    if mean.blank:
        return Cell("")
    note = ""
    if mean.planned:
        note = f"{mean.seeds}/{mean.planned}"
    elif usual_seeds and mean.seeds not in (0, usual_seeds):
        note = f"n = {mean.seeds}"
    return Cell(metric.text(mean.value), metric.text(mean.error, missing=""), note=note, best=mean.best)
