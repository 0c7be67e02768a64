"""The runs' results as CSV and as a table."""

from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

import numpy as np

from align_jax.reporting.paired import gap_difference
from align_jax.runs.read import Run, read_run
from align_jax.sweeping.subprocesses import is_complete
from align_jax.tables.csv_text import csv_text
from align_jax.tables.table import Cell, Table, plain_table
from experiments.guidance_forms.plan import ERM, ROWS, Row, cell

# By (role, metric): the means over the domains that have the role. The gap and the flips stand beside the plain tests.
SHARES = {
    "random, %": ("background_shift", "accuracy"),
    "aligned, %": ("aligned", "accuracy"),
    "neutral, %": ("neutral", "accuracy"),
    "conflicting, %": ("conflicting", "accuracy"),
    "gap": ("id", "gap"),
    "flips, %": ("id", "flips"),
    "held out: random, %": ("ood", "accuracy"),
    "held out: conflicting, %": ("ood_conflicting", "accuracy"),
    "held out: flips, %": ("ood", "flips"),
}
METRICS = ("accuracy", "worst_group_accuracy", "gap", "gap_standard_error", "flips", "flips_standard_error",
           "cam_energy")  # fmt: skip
COLUMNS = ("row", "algorithm", "correlation", "form", "weight", "seed", "domain", "role", *METRICS)


class Result(NamedTuple):
    """A row of the table, and its run as read from its folder."""

    row: Row
    run: Run


def complete_runs(workdir: Path) -> list[Result]:
    """The complete runs in a folder, in the order of the rows."""
    paths = [(row, workdir / cell(row).path) for row in ROWS]
    return [Result(row, read_run(path)) for row, path in paths if is_complete(path)]


def as_csv(results: Sequence[Result]) -> str:
    """One row per run and test set."""
    rows = [
        (row.name, row.algorithm, row.correlation, row.form, row.weight, run.seed, test.domain, test.role,
         *map(test.values.get, METRICS))
        for row, run in results
        for test in run.results
    ]  # fmt: skip
    return csv_text(COLUMNS, rows, digits=5)


def table(results: Sequence[Result]) -> Table:
    """A row for each run. The gap's distance from ERM's has a 95 % interval, bootstrapped over test concepts."""
    erm = next((run for row, run in results if row == ERM), None)
    rows = {
        row.name: [
            *(_cell(_mean(run, role, metric), 100, 1) for role, metric in SHARES.values()),
            _cell(_mean(run, "ood", "cam_energy"), 1, 2),
            Cell() if erm is None or row == ERM else _gap_less_that_of(run, erm),
        ]
        for row, run in results
    }
    return plain_table("cross-entropy and", [*SHARES, "CAM energy", "gap minus ERM's"], rows.items())


def _gap_less_that_of(run: Run, reference: Run) -> Cell:
    found = gap_difference(run, reference, "id")
    if found is None:
        return Cell()
    low, high = found.interval
    interval = "" if np.isnan(low) else f"{100 * low:+.1f}, {100 * high:+.1f}"  # of few concepts there is none
    return Cell(f"{100 * found.difference:+.1f}", interval=interval)


def _mean(run: Run, role: str, metric: str) -> float | None:
    values = [test.values[metric] for test in run.results if test.role == role and metric in test.values]
    return float(np.mean(values)) if values else None


def _cell(value: float | None, scale: float, digits: int) -> Cell:
    return Cell() if value is None else Cell(f"{scale * value:.{digits}f}")
