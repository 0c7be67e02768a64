"""Every number of every run as CSV: for spreadsheets, and for statistics of one's own."""

from collections.abc import Iterator

from align_jax.reporting.columns import images_behind
from align_jax.reporting.many_runs.report import Report, TaskReport
from align_jax.runs.untrusted_json import printable
from align_jax.tables.csv_text import csv_text

TITLES = (
    *("dataset", "protocol", "domain_singled_out", "domain_tested", "role", "split", "method", "algorithm", "guidance"),
    *("seed", "selection", "step", "best_step", "examples", "metric", "value", "settings", "run"),
)


def every_number(report: Report) -> str:
    """One row a run, domain, role and metric. Missing runs have no row."""
    return csv_text(TITLES, (row for task in report.tasks for row in _rows(task)))


def _rows(task: TaskReport) -> Iterator[list[object]]:
    for run in task.runs:
        path = printable(str(run.path))
        differing = [name for name in task.settings.differing if name in run.config]
        settings = "; ".join(f"{name} = {run.config[name]}" for name in differing)
        who = [task.rows[run.path], run.algorithm, run.guidance, run.seed, run.selection, run.step, run.best_step]
        numbers: list[tuple[list[object], str, float]] = []
        if run.validation_accuracy is not None:
            numbers.append((["", "validation", "validation", None], "validation_accuracy", run.validation_accuracy))
        for result in run.results:
            test: list[object] = [result.domain, result.role, result.split]
            numbers += [
                ([*test, images_behind(result, metric)], metric, value) for metric, value in result.values.items()
            ]
            numbers += [
                ([*test, result.faithfulness_images], f"{method}/{metric}", value)
                for method, of_method in result.further_methods.items()
                for metric, value in of_method.items()
            ]
            by_class = result.per_class_accuracy
            numbers += [([*test, result.examples], f"per_class_accuracy/{name}", v) for name, v in by_class.items()]
            numbers += [
                ([*test, group.examples], f"per_group_accuracy/{group.class_name}/{group.name}", group.accuracy)
                for group in result.groups
                if group.accuracy is not None
            ]
        for (*tested, examples), metric, value in numbers:
            yield [run.dataset, run.protocol, run.domain, *tested, *who, examples, metric, value, settings, path]
