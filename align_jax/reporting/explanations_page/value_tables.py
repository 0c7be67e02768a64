"""Methods by metrics: their means, and their differences from the random map and between runs, with intervals.

Intervals hold 95 %, each by itself, and are bootstrapped over clusters of images. Differences are paired over images.
"Better" is written only where the interval leaves out 0, and then neither end is printed as 0.
"""

import dataclasses
from collections.abc import Callable, Iterator, Mapping, Sequence

import numpy as np
from jaxtyping import Float

from align_jax.evaluation.bootstrap import clustered_interval, paired_difference
from align_jax.reporting.columns import Metric
from align_jax.reporting.explanations_page.data import Explanations
from align_jax.tables.table import Cell, Group, Row, Table

CONTROLS_MEAN = "know nothing of the classifier"

OfCell = Callable[[Explanations, str, Metric], Cell]


def value_table(runs: Mapping[str, Explanations], metrics: Sequence[Metric], resamples: int) -> Table:
    """One row a method and run: the mean over images of each metric, with its interval."""

    def cell(run: Explanations, method: str, metric: Metric) -> Cell:
        values = _values(run, method, metric.key)
        if values is None:
            return Cell()
        defined = values[~np.isnan(values)]
        if not defined.size:
            return Cell(note=_undefined(values))
        low, high = clustered_interval(values, run.cluster_of, resamples=resamples)
        return Cell(metric.text(float(defined.mean())), interval=_interval(metric, low, high), note=_undefined(values))

    return _table("Means over images", runs, metrics, cell)


def random_table(runs: Mapping[str, Explanations], metrics: Sequence[Metric], resamples: int) -> Table | None:
    """One row a method and run: its mean difference from the random map on the same images; None without that map."""
    with_random = {name: run for name, run in runs.items() if run.random in run.values}
    if not with_random:
        return None

    def cell(run: Explanations, method: str, metric: Metric) -> Cell:
        own, random = _values(run, method, metric.key), _values(run, str(run.random), metric.key)
        return difference_cell(metric, own, random, run.cluster_of, resamples)

    return _table("Difference from the random map", with_random, metrics, cell, without_random=True)


def run_table(runs: Mapping[str, Explanations], metrics: Sequence[Metric], resamples: int) -> Table | None:
    """One row a method and run: its mean difference from the same method of the first run; None for a single run."""
    if len(runs) < 2:
        return None
    name, first = next(iter(runs.items()))

    def cell(run: Explanations, method: str, metric: Metric) -> Cell:
        own, other = _values(run, method, metric.key), _values(first, method, metric.key)
        return difference_cell(metric, own, other, run.cluster_of, resamples)

    others = {other: run for other, run in runs.items() if other != name}
    return _table(f"Difference from the run {name}", others, metrics, cell)


def difference_cell(
    metric: Metric,
    own: Float[np.ndarray, " n"] | None,
    reference: Float[np.ndarray, " n"] | None,
    clusters: np.ndarray,
    resamples: int,
) -> Cell:
    """The mean of `own - reference` over the images where both are defined, and whether it is better or worse.

    It has as many digits as it takes to see that an end of the interval is not 0. An end is 0 if it is within the
    rounding of the values, which are float32.
    """
    if own is None or reference is None:
        return Cell()
    difference, _, (low, high) = paired_difference(own, reference, clusters, resamples=resamples)
    missing = _undefined(own - reference)
    if not np.isfinite(difference):
        return Cell(note=missing)
    values = np.stack([own, reference])[:, ~np.isnan(own - reference)]
    rounding = float(np.finfo(np.float32).eps * np.abs(values).max())
    low, high = (0.0 if abs(end) <= rounding else end for end in (low, high))
    apart = low > 0 or high < 0
    verdict = ""
    if apart and metric.better != "neither":
        verdict = "better" if (difference > 0) == (metric.better == "higher") else "worse"
    printed = _with_digits_for(metric, low, high)
    return Cell(
        printed.difference(difference, 0.0),
        interval=_interval(printed, low, high, signed=True),
        note=", ".join(filter(None, (verdict, missing))),
        best=verdict == "better",
    )


def _table(
    title: str, runs: Mapping[str, Explanations], metrics: Sequence[Metric], cell: OfCell, without_random: bool = False
) -> Table:
    """One group of methods and one of controls; a method's rows of several runs stand below each other."""
    methods = list(dict.fromkeys(method for run in runs.values() for method in run.methods if method in run.values))

    def rows(controls: bool) -> Iterator[Row]:
        for method in methods:
            for name, run in runs.items():
                if (method in run.controls) != controls or (without_random and method == run.random):
                    continue
                names = (method, name) if len(runs) > 1 else (method,)
                yield Row(names, tuple(cell(run, method, metric) for metric in metrics))

    groups = [Group("Methods", tuple(rows(False))), Group("Controls", tuple(rows(True)), CONTROLS_MEAN)]
    return Table(
        title,
        ("Method", "Run") if len(runs) > 1 else ("Method",),
        tuple(metric.column for metric in metrics),
        tuple(group for group in groups if group.rows),
    )


def _values(run: Explanations, method: str, metric: str) -> Float[np.ndarray, " n"] | None:
    values = run.values.get(method, {}).get(metric)
    return None if values is None else np.asarray(values, np.float64)


def _undefined(values: Float[np.ndarray, " n"]) -> str:
    count = int(np.isnan(values).sum())
    return f"{count:,} undefined" if count else ""


def _with_digits_for(metric: Metric, *ends: float) -> Metric:
    """The metric with the fewest digits, but not fewer than it has, with which no end but 0 is printed as 0."""
    digits = metric.digits
    for end in ends:
        while end and np.isfinite(end) and not round(end * metric.scale, digits):
            digits += 1
    return dataclasses.replace(metric, digits=digits)


def _interval(metric: Metric, low: float, high: float, signed: bool = False) -> str:
    """Both ends, or nothing where there are too few clusters to know them."""
    if not np.isfinite([low, high]).all():
        return ""
    ends = (metric.difference(end, 0.0) if signed else metric.text(end) for end in (low, high))
    return ", ".join(ends).replace("±", "")
