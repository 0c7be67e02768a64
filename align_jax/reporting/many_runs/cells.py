"""A cell of a table: the mean and the standard error over seeds, averages of cells, and which cells are in bold."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting.columns import Metric


@dataclass(frozen=True)
class Cell:
    """A mean over seeds in the metric's own unit; None where nothing was measured.

    Attributes:
      error: of the mean, sd / sqrt(seeds); None for one seed.
      seeds: how many runs it is over.
      planned: how many there are or a sweep planned, where not all of them are complete with a finite value; else 0.
      best: nothing that it is compared with is better by more than one standard error of the difference; where
        that is not known, nothing is better.
      blank: there can be no value, as for a domain that was trained on.
      digits: of a published value, as printed.
    """

    value: float | None = None
    error: float | None = None
    seeds: int = 0
    planned: int = 0
    best: bool = False
    blank: bool = False
    digits: int | None = None


def cell_over_seeds(by_seed: Mapping[int, float], planned: int = 0) -> Cell:
    """Mean and standard error over the seeds whose value is finite; missing where there are none."""
    finite = _finite(by_seed)
    seeds = len(finite)
    planned = max(planned, len(by_seed))
    planned = planned if planned > seeds else 0
    if not seeds:
        return Cell(planned=planned)
    mean = math.fsum(finite.values()) / seeds
    error = None
    if seeds > 1:
        variance = math.fsum((value - mean) ** 2 for value in finite.values()) / (seeds - 1)
        error = math.sqrt(variance / seeds)
    return Cell(mean, error, seeds, planned)


def average_cell(parts: Sequence[Mapping[int, float]]) -> Cell:
    """The unweighted mean of several cells; missing unless every one of them is there.

    Where all have the same seeds the error is that of the seeds' averages, which keeps what their cells share; else
    the mean of the cells' means stands without one.
    """
    parts = [_finite(part) for part in parts]
    if not parts or not all(parts):
        return Cell()
    seeds = set(parts[0])
    if all(set(part) == seeds for part in parts):
        return cell_over_seeds({seed: math.fsum(part[seed] for part in parts) / len(parts) for seed in sorted(seeds)})
    means = [math.fsum(part.values()) / len(part) for part in parts]
    return Cell(math.fsum(means) / len(means))


def _finite(by_seed: Mapping[int, float]) -> dict[int, float]:
    return {seed: value for seed, value in by_seed.items() if math.isfinite(value)}


def marked(metric: Metric, cells: Sequence[Cell]) -> list[Cell]:
    """Marks the best cell and those that differ from it by at most one standard error of the difference.

    That error is sqrt(a^2 + b^2) for two cells with the errors a and b. Where one of the two has none, as over a single
    seed, it is not known, and nothing is near the best but what is printed alike. Nothing is marked where every cell
    would be, as then nothing stands out.
    """
    present = [cell for cell in cells if cell.value is not None]
    if metric.better == "neither" or len(present) < 2:
        return list(cells)
    best = (max if metric.better == "higher" else min)(present, key=lambda cell: cell.value or 0.0)

    def close(cell: Cell) -> bool:
        if cell.value is None or best.value is None:
            return False
        if metric.text(cell.value) == metric.text(best.value):
            return True
        if cell.error is None or best.error is None:
            return False
        difference, error = abs(cell.value - best.value), math.hypot(cell.error, best.error)
        # Exactly one error apart is within it, whatever the last bit of the difference is.
        return difference <= error or math.isclose(difference, error, rel_tol=1e-9)

    if all(close(cell) for cell in present):
        return list(cells)
    return [replace(cell, best=close(cell)) for cell in cells]
