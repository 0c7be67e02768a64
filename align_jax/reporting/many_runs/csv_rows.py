"""Every number of every run as CSV: for spreadsheets, and for statistics of one's own."""

import csv
import io
from collections.abc import Iterator

from align_jax.reporting.columns import FAITHFULNESS
from align_jax.reporting.many_runs.report import Benchmark, Report
from align_jax.runs.collect import Result
from align_jax.runs.untrusted_json import printable

FAITHFULNESS_KEYS = {metric.key for metric in FAITHFULNESS}
CSV_COLUMNS = (
    *("dataset", "protocol", "domain_singled_out", "domain_tested", "role", "split", "method", "algorithm", "guidance"),
    *("seed", "selection", "step", "best_step", "examples", "metric", "value", "settings", "run"),
)


def csv_text(report: Report) -> str:
    """Every number of every run: one row a run, domain, role and metric. Missing runs have no row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for benchmark in report.benchmarks:
        for row in _csv_rows(benchmark):
            writer.writerow([_spreadsheet(field) for field in row])
    return stream.getvalue()


def _csv_rows(benchmark: Benchmark) -> Iterator[list[object]]:
    for run in benchmark.runs:
        path = printable(str(run.path))
        differing = [name for name in benchmark.settings.differing if name in run.config]
        settings = "; ".join(f"{name} = {run.config[name]}" for name in differing)
        who = [benchmark.rows[run.path], run.algorithm, run.guidance, run.seed, run.selection, run.step, run.best_step]
        numbers: list[tuple[list[object], str, float]] = []
        if run.validation_accuracy is not None:
            numbers.append((["", "validation", "validation", None], "validation_accuracy", run.validation_accuracy))
        for result in run.results:
            test: list[object] = [result.domain, result.role, result.split]
            numbers += [([*test, _images(result, metric)], metric, value) for metric, value in result.values.items()]
            by_class = result.per_class_accuracy
            numbers += [([*test, result.examples], f"per_class_accuracy/{name}", v) for name, v in by_class.items()]
        for (*tested, examples), metric, value in numbers:
            yield [run.dataset, run.protocol, run.domain, *tested, *who, examples, metric, value, settings, path]


def _images(result: Result, metric: str) -> int | None:
    """Over how many images a value is: faithfulness is measured on a part of those that are tested."""
    measured = metric.removeprefix("random_").removesuffix("_standard_error")
    return result.faithfulness_images if measured in FAITHFULNESS_KEYS else result.examples


def _spreadsheet(value: object) -> object:
    """Text that a spreadsheet would take for a formula is given to it as text."""
    return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value
