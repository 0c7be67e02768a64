"""Accuracy class by class: what a plain accuracy hides where classes are unequal."""

from collections.abc import Mapping, Sequence

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY, Metric
from align_jax.reporting.tables import Cell, Group, Row, Table
from align_jax.runs.read import Run


def per_class_table(runs: Mapping[str, Run]) -> Table:
    """Rows are classes, grouped by role; of one run the columns are domains, of several the runs.

    Of several runs a value is the mean over the role's domains that have the class. Empty without any such value.

    Args:
      runs: the runs by name.
    """
    every_result = [result for run in runs.values() for result in run.results]
    class_names = next(iter(runs.values())).class_names
    roles = [role for role in names.in_role_order([result.role for result in every_result]) if role != "validation"]
    single = len(runs) == 1
    titles = list(dict.fromkeys(result.domain for result in every_result)) if single else list(runs)
    columns = [Metric(title, title, "neither", 100, 1) for title in titles]
    groups = []
    for role in roles:
        rows = []
        for class_name in class_names:
            values = [
                _mean_over_domains(next(iter(runs.values())), role, class_name, [title])
                if single
                else _mean_over_domains(runs[title], role, class_name, None)
                for title in titles
            ]
            best = max((value for value in values if value is not None), default=None)
            unequal = len({ACCURACY.text(value) for value in values if value is not None}) > 1
            cells = [Cell(ACCURACY.text(value), best=not single and unequal and value == best) for value in values]
            if any(value is not None for value in values):
                rows.append(Row(class_name, cells))
        if rows:
            groups.append(Group(names.role_title(role), "", rows))
    return Table(columns, groups)


def _mean_over_domains(run: Run, role: str, class_name: str, domains: Sequence[str] | None) -> float | None:
    values = [
        result.per_class_accuracy[class_name]
        for result in run.results
        if result.role == role
        and (domains is None or result.domain in domains)
        and class_name in result.per_class_accuracy
    ]
    return sum(values) / len(values) if values else None
