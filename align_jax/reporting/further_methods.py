"""What the explanations of a run were measured with: its first method, and a table of all when there are several."""

import json
from collections.abc import Mapping

from align_jax.reporting import names
from align_jax.reporting.columns import of_explanations
from align_jax.reporting.method_titles import method_title
from align_jax.runs.read import Run
from align_jax.tables.table import Cell, Group, Row, Table


def first_method(run: Run) -> str:
    """The title of the method whose metrics the results have; a run of an earlier version has Grad-CAM."""
    try:
        methods = json.loads(run.config.get("explain.methods", ""))
    except ValueError:
        methods = None
    known = isinstance(methods, list) and methods and isinstance(methods[0], str)
    return method_title(methods[0] if known else "grad_cam")


def methods_table(runs: Mapping[str, Run]) -> Table | None:
    """A row for each test and method of explanation, the first one too; None if no run has several."""
    results = [result for run in runs.values() for result in run.results]
    if not any(result.further_methods for result in results):
        return None
    metrics = of_explanations(results)
    groups = []
    for role in names.in_role_order([result.role for result in results if result.further_methods]):
        rows = []
        for name, run in runs.items():
            for result in (result for result in run.results if result.role == role and result.further_methods):
                by_method = {first_method(run): result.values} | {
                    method_title(method): values for method, values in result.further_methods.items()
                }
                for method, values in by_method.items():
                    of_row = (result.domain, name, method) if len(runs) > 1 else (result.domain, method)
                    rows.append(Row(of_row, tuple(Cell(metric.text(values.get(metric.key))) for metric in metrics)))
        groups.append(Group(names.role_title(role), tuple(rows)))
    titles = ("Domain", "Run", "Explained by") if len(runs) > 1 else ("Domain", "Explained by")
    return Table("Methods of explanation", titles, tuple(metric.column for metric in metrics), tuple(groups))
