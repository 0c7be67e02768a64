"""The runs' results as CSV and as tables."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Shaped

from align_jax.errors import UserError
from align_jax.reporting.paired import correct_images
from align_jax.runs.read import Run, read_run
from align_jax.sweeping.subprocesses import is_complete
from align_jax.tables.csv_text import csv_text
from align_jax.tables.table import Cell, Table, plain_table
from experiments.emoji_scenes.plan import CEILING, ERM, TRUE_MASKS, Row, cell
from experiments.emoji_scenes.shares import Estimate, gain
from experiments.mask_quality.tables import cell_over_seeds

ROLES = {"id": "in distribution", "background_shift": "background shift", "ood": "held-out vendor"}
SHIFTS = ("background_shift", "ood")
METRICS = ("accuracy", "worst_group_accuracy", "gap", "flips", "auc", "mask_iou", "cam_energy", "comprehensiveness",
           "random_comprehensiveness", "sufficiency", "random_sufficiency", "insertion_auc",
           "random_insertion_auc")  # fmt: skip
COLUMNS = ("method", "correlation", "seed", "domain", "role", *METRICS)


class Result(NamedTuple):
    """One complete run.

    Attributes:
      row: its row of the table.
      correlation: the correlation of its training images.
      seed: the run's.
      run: the run as read from its folder.
    """

    row: Row
    correlation: str
    seed: int
    run: Run


def complete_runs(workdir: Path, rows: Sequence[Row]) -> list[Result]:
    """The complete runs in a folder, in the order of the rows."""
    found = []
    for row in rows:
        for correlation, seeds in row.seeds.items():
            for seed in seeds:
                path = workdir / cell(row, correlation, seed).path
                if is_complete(path):
                    found.append(Result(row, correlation, seed, read_run(path)))
    return found


def as_csv(results: Sequence[Result]) -> str:
    """One row per run and test set."""
    rows = [
        (result.row.name, result.correlation, result.seed, test.domain, test.role, *map(test.values.get, METRICS))
        for result in results
        for test in result.run.results
    ]
    return csv_text(COLUMNS, rows, digits=5)


def score(result: Result, role: str, metric: str) -> float | None:
    """The mean over a role's test sets, or None where none of them has the metric."""
    values = [test.values[metric] for test in result.run.results if test.role == role and metric in test.values]
    return float(np.mean(values)) if values else None


def worst_domain(result: Result) -> float:
    """The lowest accuracy on a test set out of distribution: of all vendors, the held-out one included."""
    return min(test.values["accuracy"] for test in result.run.results if test.role in SHIFTS)


def accuracy_table(results: Sequence[Result], correlation: str) -> Table:
    """Accuracies as mean ± standard error over seeds, worst domain, masks and Grad-CAMs."""
    titles = ("seeds", *(f"{title}, %" for title in ROLES.values()), "worst domain, %", "mask IoU", "CAM energy")
    rows = {}
    for name, runs in by_method(results, correlation).items():
        row = runs[0].row
        cells = [Cell(str(len(runs)))]
        # The ceiling's test in distribution has no correlation: it cannot be compared with the others.
        cells += [
            Cell()
            if row is CEILING and role == "id"
            else cell_of_accuracy([score(run, role, "accuracy") for run in runs])
            for role in ROLES
        ]
        cells.append(cell_of_accuracy([worst_domain(run) for run in runs]))
        learns = row.algorithm in ("align", "background_swap") and row.settings.get("guidance", "learned") == "learned"
        cells.append(_score([score(run, "ood", "mask_iou") for run in runs] if learns else [], 2))
        cells.append(_score([score(run, "ood", "cam_energy") for run in runs], 2))
        rows[name] = cells
    return table_of_correlation(correlation, titles, rows)


def gain_table(results: Sequence[Result], correlation: str) -> Table:
    """Each method's gain over ERM, and the share of the distance to each ceiling that it closes."""
    titles = [
        f"{ROLES[role]}: {what}"
        for role in SHIFTS
        for what in ("minus ERM, points", "of the way to true masks, %", "of the way to correlation 0, %")
    ]
    methods = by_method(results, correlation)
    if ERM.name not in methods:
        return table_of_correlation(correlation, titles, {})
    seeds = {name: [run.seed for run in runs] for name, runs in methods.items()}
    by_role = {role: correct_by_method(methods, role) for role in SHIFTS}
    rows: dict[str, list[Cell]] = {name: [] for name in methods if name != ERM.name}
    for name, cells in rows.items():
        for correct, concept in by_role.values():
            compared = [(name, ERM.name), *((name, ERM.name, ceiling.name) for ceiling in (TRUE_MASKS, CEILING))]
            gains = [
                gain(*found, concept=concept) if (found := of_common_seeds(names, seeds, correct)) else None
                for names in compared
            ]
            cells.append(with_interval(gains[0] and gains[0].difference))
            cells += [with_interval(found and found.share) for found in gains[1:]]
    return table_of_correlation(correlation, titles, rows)


def of_common_seeds(
    names: Sequence[str], seeds: Mapping[str, Sequence[int]], correct: Mapping[str, Float[np.ndarray, "s n"]]
) -> list[Float[np.ndarray, "s n"]]:
    """The rows of the seeds that all of these methods have, one array per method.

    Returns:
      An empty list if they have no seed in common, or if a name appears twice (a ceiling's share of the way to itself).
    """
    common = set.intersection(*(set(seeds.get(name, ())) for name in names))
    if not common or len(set(names)) < len(names):
        return []
    return [correct[name][[seed in common for seed in seeds[name]]] for name in names]


def faithfulness_table(results: Sequence[Result], correlation: str) -> Table:
    """Deletion and insertion on the held-out vendor, each with a random map's value."""
    measures = ("comprehensiveness", "sufficiency", "insertion_auc")
    rows = {
        name: [
            dataclasses.replace(
                _score([score(run, "ood", measure) for run in runs], 3),
                note=_score([score(run, "ood", f"random_{measure}") for run in runs], 3).value,
            )
            for measure in measures
        ]
        for name, runs in by_method(results, correlation).items()
    }
    return table_of_correlation(
        correlation, [f"{measure.replace('_auc', ' AUC')} (random map)" for measure in measures], rows
    )


def by_method(results: Sequence[Result], correlation: str) -> dict[str, list[Result]]:
    """The runs of each row at one correlation, and those of the ceiling, by the rows' names."""
    found: dict[str, list[Result]] = {}
    for result in results:
        if result.correlation == correlation or result.row is CEILING:
            found.setdefault(result.row.name, []).append(result)
    return found


def correct_by_method(
    methods: Mapping[str, Sequence[Result]], role: str
) -> tuple[dict[str, Float[np.ndarray, "s n"]], Shaped[np.ndarray, " n"]]:
    """Which of a role's images each run classified correctly, and the images' concepts."""

    def correct(run: Run) -> PerImage | None:
        images = correct_images(run, role)
        return images and PerImage(images.correct, images.concept, images.identity)

    return values_by_method(methods, correct)


class PerImage(NamedTuple):
    """A run's value for each image, or object, of a test."""

    value: Float[np.ndarray, " n"]
    concept: Shaped[np.ndarray, " n"]
    identity: Shaped[np.ndarray, " n"]


def values_by_method(
    methods: Mapping[str, Sequence[Result]], measure: Callable[[Run], PerImage | None]
) -> tuple[dict[str, Float[np.ndarray, "s n"]], Shaped[np.ndarray, " n"]]:
    """The values of each method's runs, one row a run, and the images' concepts.

    Raises:
      UserError: two runs were tested on different images.
    """
    values: dict[str, Float[np.ndarray, "s n"]] = {}
    concept = identity = None
    for name, runs in methods.items():
        rows = []
        for result in runs:
            images = measure(result.run)
            if images is None or (identity is not None and not np.array_equal(images.identity, identity)):
                raise UserError(
                    f"{result.run.path} was not tested on the images of the other runs; delete it, "
                    "and the same command trains it again."
                )
            concept, identity = images.concept, images.identity
            rows.append(images.value)
        values[name] = np.stack(rows)
    assert concept is not None
    return values, concept


def table_of_correlation(correlation: str, titles: Sequence[str], rows: Mapping[str, Sequence[Cell]]) -> Table:
    """A table of plain rows under the correlation that the runs were trained at."""
    return plain_table(f"trained at correlation {correlation}", titles, rows.items())


def cell_of_accuracy(values: Sequence[float | None]) -> Cell:
    """A mean over seeds, in percent, with its standard error."""
    return cell_over_seeds([value for value in values if value is not None], 100, 1)


def _score(values: Sequence[float | None], digits: int) -> Cell:
    """A mean without its standard error; each run's score is in the CSV."""
    return dataclasses.replace(cell_over_seeds([value for value in values if value is not None], 1, digits), error="")


def with_interval(estimate: Estimate | None) -> Cell:
    """An estimate in percent or points, with its interval."""
    if estimate is None:
        return Cell()
    low, high = estimate.interval
    return Cell(f"{100 * estimate.value:+.1f}", interval=f"{100 * low:+.1f}, {100 * high:+.1f}")
