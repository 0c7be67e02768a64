"""The metrics of which a report can have tables, and those that it has unless asked for others."""

from align_jax.reporting import names
from align_jax.reporting.names import Metric

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        *names.PREDICTION,
        *names.FAITHFULNESS,
        Metric("validation_accuracy", "Validation accuracy", "higher", 100, 1),
    )
}
DEFAULT_METRICS = ("accuracy", "balanced_accuracy", "auc", "insertion_auc", "comprehensiveness", "sufficiency")
"""Accuracies, and what the papers' tables have."""
