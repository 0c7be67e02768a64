"""Accuracy class by class: what a plain accuracy hides where classes are unequal."""

from collections.abc import Mapping

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY
from align_jax.runs.read import Run
from align_jax.tables.table import Cell, Column, Group, Row, Table


def per_class_table(runs: Mapping[str, Run]) -> Table:
    """Rows are classes, grouped by role; of one run the columns are domains, of several the runs.

    Of several runs a value is the mean over the role's domains that have the class. Empty without any such value.
    """
    every_result = [result for run in runs.values() for result in run.results]
    first = next(iter(runs.values()))
    single = len(runs) == 1
    domains = list(dict.fromkeys(result.domain for result in every_result))
    columns = [(first, domain) for domain in domains] if single else [(run, None) for run in runs.values()]
    groups = []
    for role in names.tested_roles([result.role for result in every_result]):
        rows = []
        for class_name in first.class_names:
            values = [_mean_over_domains(run, role, class_name, domain) for run, domain in columns]
            best = max((value for value in values if value is not None), default=None)
            unequal = len({ACCURACY.text(value) for value in values if value is not None}) > 1
            cells = [Cell(ACCURACY.text(value), best=not single and unequal and value == best) for value in values]
            if best is not None:
                rows.append(Row((class_name,), tuple(cells)))
        if rows:
            groups.append(Group(names.role_title(role), tuple(rows)))
    titles = domains if single else list(runs)
    return Table("Accuracy by class, %", ("Class",), tuple(Column(title, unit="%") for title in titles), tuple(groups))


def _mean_over_domains(run: Run, role: str, class_name: str, domain: str | None) -> float | None:
    """Over the domains of a role, or in one of them; None where no image has the class."""
    values = [
        result.per_class_accuracy[class_name]
        for result in run.results
        if result.role == role and domain in (None, result.domain) and class_name in result.per_class_accuracy
    ]
    return sum(values) / len(values) if values else None
