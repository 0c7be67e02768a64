"""The metrics that have a column in a table: title, unit, which way is better, and how many digits are printed.

A metric that is not here still has a column on a run's page, under its own name.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass

from align_jax import explanations
from align_jax.reporting.names import series_title
from align_jax.runs.read import Result
from align_jax.tables.table import MISSING, Better, Column, shortened


@dataclass(frozen=True)
class Metric:
    """How the values of a metric are printed.

    Attributes:
      key: its name in `summary.json`.
      title: its name in a table.
      better: which values are better.
      scale: what a value is multiplied by before it is printed; 100 makes it a percentage.
      digits: after the decimal point.
      subtitle: what the title leaves open, as the role of a headline's value.
    """

    key: str
    title: str
    better: Better = "neither"
    scale: int = 1
    digits: int = 3
    subtitle: str = ""

    @property
    def unit(self) -> str:
        return "%" if self.scale == 100 else ""

    @property
    def column(self) -> Column:
        """What stands above its values."""
        return Column(self.title, self.subtitle, self.unit, self.better)

    def text(self, value: float | None, missing: str = MISSING) -> str:
        """`0.6431` as `64.3` or `0.643`; `missing` where there is no finite value."""
        if value is None or not math.isfinite(value):
            return missing
        return _with_minus(f"{value * self.scale:.{self.digits}f}")

    def difference(self, value: float | None, reference: float | None) -> str:
        """`value - reference` with its sign, in the unit of the column; empty where either is missing."""
        if value is None or reference is None or not math.isfinite(value - reference):
            return ""
        # Rounding first, so that a difference of -0.0 is not written as a loss.
        rounded = round((value - reference) * self.scale, self.digits) + 0.0
        return _with_minus(f"{rounded:+.{self.digits}f}") if rounded else f"±{0:.{self.digits}f}"


ACCURACY = Metric("accuracy", "Accuracy", "higher", 100, 1)
BALANCED_ACCURACY = Metric("balanced_accuracy", "Balanced accuracy", "higher", 100, 1)
WORST_GROUP = Metric("worst_group_accuracy", "Worst group", "higher", 100, 1)
AUC = Metric("auc", "AUC", "higher", 100, 1)
MASK_IOU = Metric("mask_iou", "Mask IoU", "higher")
CAM_ENERGY = Metric("cam_energy", "CAM energy", "higher")
COMPREHENSIVENESS = Metric("comprehensiveness", "Comprehensiveness", "higher")
SUFFICIENCY = Metric("sufficiency", "Sufficiency", "lower")
INSERTION_AUC = Metric("insertion_auc", "Insertion AUC", "higher")
GAP = Metric("gap", "Gap", "lower", 100, 1)
FLIPS = Metric("flips", "Flips", "lower", 100, 1)
VALIDATION_ACCURACY = Metric("validation_accuracy", "Validation accuracy", "higher", 100, 1)

PREDICTION = (ACCURACY, BALANCED_ACCURACY, WORST_GROUP, AUC, GAP, FLIPS, MASK_IOU, CAM_ENERGY)
FAITHFULNESS = (COMPREHENSIVENESS, SUFFICIENCY, INSERTION_AUC)
"""Measured on a part of the images, as all metrics of explanations; see `Result.faithfulness_images`."""

METRICS = {metric.key: metric for metric in (*PREDICTION, *FAITHFULNESS, VALIDATION_ACCURACY)}
"""Tables of many runs can be made of these."""
DEFAULT_METRICS = (
    *("accuracy", "balanced_accuracy", "worst_group_accuracy", "auc", "gap", "flips"),
    *("insertion_auc", "comprehensiveness", "sufficiency"),
)
"""Accuracies, what depends on the background, and what the papers' tables have."""

ON_BACKGROUNDS_TOO = ("accuracy", "worst_group_accuracy", "mask_iou", "cam_energy")
"""Metrics with a table of many runs for each kind of background; for the others, that of the plain tests will do."""

NOT_MEASURED = ("examples", "faithfulness_images", "auc_classes_left_out", "groups_left_out")
"""Counts beside the metrics, not metrics themselves."""


def of_explanations(results: Sequence[Result]) -> list[Metric]:
    """Columns for the metrics of explanations that were measured on the results' images."""
    by_method = [values for result in results for values in (result.values, *result.further_methods.values())]
    measured = {key for values in by_method for key in values}
    return [
        explanation_metric(key, explanations.HIGHER_IS_BETTER.get(key))
        for key in explanations.METRICS
        if key in measured
    ]


def explanation_metric(key: str, higher_is_better: bool | None) -> Metric:
    """A column for a metric of explanations, of ours or of a user's; None if neither direction is better."""
    better: Better = "neither" if higher_is_better is None else "higher" if higher_is_better else "lower"
    return Metric(key, shortened(METRICS[key].title if key in METRICS else series_title(key)), better)


def images_behind(result: Result, key: str) -> int | None:
    """The number of images behind a value; explanations are measured on a part of those that are tested."""
    measured = key.removeprefix("random_").removesuffix("_standard_error")
    return result.faithfulness_images if measured in explanations.METRICS else result.examples


def further_metrics(results: Sequence[Result]) -> list[Metric]:
    """Columns for the numbers of results that are not here, under their own names."""
    known = {metric.key for metric in PREDICTION} | {*explanations.METRICS} | {*NOT_MEASURED}
    keys = {
        key
        for result in results
        for key in result.values
        if key not in known and not key.endswith("_standard_error") and not key.startswith("random_")
    }
    return [Metric(key, series_title(key)) for key in sorted(keys)]


def _with_minus(number: str) -> str:
    return number.replace("-", "−")
