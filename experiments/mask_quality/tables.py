"""The runs' results as CSV and as a table."""

import dataclasses
from collections.abc import Mapping, Sequence

import numpy as np

from align_jax.runs.read import Result
from align_jax.tables.csv_text import csv_text
from align_jax.tables.table import Cell, Table, plain_table

# Conditions that are not a quality of the true masks.
LEARNED = "learned"
# Without masks: DRE, which is ALIGN without guidance and so isolates the effect of guidance; and cross-entropy alone.
UNGUIDED = ("dre", "erm")
ROLES = ("id", "background_shift", "ood", "aligned", "conflicting", "ood_conflicting")
METRICS = ("accuracy", "cam_energy", "gap", "flips")
COLUMNS = ("condition", "seed", "mask_iou", *(f"{metric}_{role}" for metric in METRICS for role in ROLES))


@dataclasses.dataclass(frozen=True)
class Measured:
    """One run's row.

    Attributes:
      condition: a quality of the true masks, `LEARNED` or one of `UNGUIDED`.
      seed: the run's.
      mask_iou: the guiding masks' IoU with the true ones; None without guidance. For a quality it is the mean over the
        training images; for learned masks, over the test images of the training domains, where the run measured it.
      scores: by METRIC_ROLE, means over the role's domains, for the metrics that apply.
    """

    condition: str
    seed: int
    mask_iou: float | None
    scores: Mapping[str, float]


def row(condition: str, seed: int, mask_iou: float | None, results: Sequence[Result]) -> Measured:
    """A run's row; the IoU of learned masks is taken from the results.

    Args:
      condition: the cell's.
      seed: the cell's.
      mask_iou: the IoU of a quality's masks.
      results: the run's.
    """
    scores = {}
    for metric in (*METRICS, "mask_iou"):
        for role in ROLES:
            of_role = [r.values[metric] for r in results if r.role == role and metric in r.values]
            if of_role:
                scores[f"{metric}_{role}"] = float(np.mean(of_role))
    learned = scores.get("mask_iou_id")
    return Measured(
        condition,
        seed,
        learned if condition == LEARNED else mask_iou,
        {name: value for name, value in scores.items() if name in COLUMNS},
    )


def as_csv(measured: Sequence[Measured]) -> str:
    """One row per run; a value that does not apply is left empty."""
    rows = [
        (run.condition, run.seed, run.mask_iou, *(run.scores.get(column) for column in COLUMNS[3:])) for run in measured
    ]
    # Five decimals: the last one is less than a tenth of one image.
    return csv_text(COLUMNS, rows, digits=5)


def mean_and_error(values: Sequence[float]) -> tuple[float, float]:
    """The mean over seeds and its standard error, which is NaN for a single seed."""
    error = np.std(values, ddof=1) / np.sqrt(len(values)) if len(values) > 1 else np.nan
    return float(np.mean(values)), float(error)


def cell_over_seeds(values: Sequence[float], factor: int, digits: int) -> Cell:
    """The mean over seeds with its standard error, times a factor; a dash without values."""
    if not values:
        return Cell()
    mean, error = mean_and_error(values)
    return Cell(f"{factor * mean:.{digits}f}", "" if np.isnan(error) else f"{factor * error:.{digits}f}")


def table(measured: Sequence[Measured], method: str = "ALIGN") -> Table:
    """One row per condition: means over seeds with their standard errors.

    Args:
      measured: every run's row.
      method: the title of the method that the masks guide.
    """
    titles = {
        "accuracy_id": "in distribution, %",
        "accuracy_background_shift": "background shift, %",
        "accuracy_conflicting": "conflicting backgrounds, %",
        "gap_id": "gap, points",
        "accuracy_ood": "held-out vendor, %",
        "cam_energy_ood": "CAM energy, held-out vendor",
    }
    conditions = {LEARNED: f"learned ({method})", "dre": "none (DRE)", "erm": "none (ERM)"}
    rows = []
    for condition in dict.fromkeys(run.condition for run in measured):
        runs = [run for run in measured if run.condition == condition]
        ious = [run.mask_iou for run in runs if run.mask_iou is not None]
        cells = [Cell(f"{np.mean(ious):.2f}") if ious else Cell()]
        for name in titles:
            factor, digits = (100, 1) if name.startswith(("accuracy", "gap")) else (1, 3)
            cells.append(cell_over_seeds([run.scores[name] for run in runs if name in run.scores], factor, digits))
        rows.append((conditions.get(condition, condition), cells))
    return plain_table("masks", ("mask IoU", *titles.values()), rows)
