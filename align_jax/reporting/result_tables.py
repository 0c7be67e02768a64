"""Tables of one run's results, and of several runs side by side."""

import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import replace

from align_jax.reporting import names, paired
from align_jax.reporting.columns import ACCURACY, CAM_ENERGY, FAITHFULNESS, MASK_IOU, Metric
from align_jax.reporting.compared import named_methods, reference_method, shared_selection
from align_jax.runs.read import Result, Run, read_run
from align_jax.tables.table import Cell, Column, Group, Row, Table
from align_jax.tables.terminal import terminal

Values = Mapping[str, float]
"""By key: values, their standard errors (KEY_standard_error), and those of a random map (random_KEY)."""


def role_mean(results: Sequence[Result], role: str, key: str) -> float | None:
    """Unweighted mean over the domains of a role; None unless every one of them has the value."""
    values = [result.values.get(key) for result in results if result.role == role]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def explained_role(results: Sequence[Result]) -> str | None:
    """The role whose masks and maps stand for a run in a headline: the one furthest from training."""
    roles = [role for role in names.in_role_order([result.role for result in results]) if role != "validation"]
    known = [role for role in roles if role in names.ROLES]
    return (known or roles)[-1] if roles else None


def run_table(run: Run, metrics: Sequence[Metric]) -> Table:
    """One row a domain, grouped by role, with the mean of each role that has several domains.

    Args:
      run: the run.
      metrics: the columns; those that the run did not measure are left out.
    """
    metrics = _measured(metrics, run.results)
    groups = []
    for role in names.in_role_order([result.role for result in run.results]):
        results = [result for result in run.results if result.role == role]
        rows = [
            Row((result.domain,), (*(_cell(m, result.values) for m in metrics), _images(metrics, result)))
            for result in results
        ]
        if len(results) > 1:
            mean = _means(results, role, metrics)
            cells = (*(_cell(metric, mean) for metric in metrics), Cell(""))
            rows.append(Row((f"Mean of {len(results)} domains",), cells, is_mean=True))
        if _measured(metrics, results):
            groups.append(_role_group(role, rows, [run]))
    return _with_images("Results", ("Domain",), metrics, groups)


def compared_table(runs: Mapping[str, Run], metrics: Sequence[Metric], reference: str) -> Table:
    """One row a domain and method, grouped by role, each role closing with its mean over several domains.

    Args:
      runs: the runs by the names of their methods, in the order of the rows.
      metrics: the columns; those that no run measured are left out.
      reference: the method to which the differences are taken.
    """
    every_result = [result for run in runs.values() for result in run.results]
    metrics = _measured(metrics, every_result)
    groups = []
    for role in names.in_role_order([result.role for result in every_result]):
        of_role = [result for result in every_result if result.role == role]
        domains = list(dict.fromkeys(result.domain for result in of_role))
        rows = []
        for domain in domains:
            tested = {
                name: next((r for r in run.results if (r.role, r.domain) == (role, domain)), None)
                for name, run in runs.items()
            }
            values = {name: result.values if result else {} for name, result in tested.items()}
            for name, cells in _compared_cells(metrics, values, reference).items():
                rows.append(Row((domain, name), (*cells, _images(metrics, tested[name]))))
        if len(domains) > 1:
            means = {name: _means(run.results, role, metrics) for name, run in runs.items()}
            for name, cells in _compared_cells(metrics, means, reference).items():
                rows.append(Row((f"Mean of {len(domains)}", name), (*cells, Cell("")), is_mean=True))
        if _measured(metrics, of_role):
            groups.append(_role_group(role, rows, list(runs.values())))
    return _with_images("Results by domain", ("Domain", "Method"), metrics, groups)


def headline_table(runs: Mapping[str, Run], reference: str) -> Table:
    """One row a method: its accuracy in each role, and mask IoU and CAM energy in the role furthest from training.

    Args:
      runs: the runs by the names of their methods, in the order of the rows.
      reference: the method to which the differences are taken.
    """
    results = [result for run in runs.values() for result in run.results]
    roles = [role for role in names.in_role_order([result.role for result in results]) if role != "validation"]
    metrics = {
        (role, "accuracy"): replace(ACCURACY, title=names.role_title(role), subtitle="accuracy") for role in roles
    }
    explained = explained_role(results)
    for metric in (MASK_IOU, CAM_ENERGY):
        if explained and any(role_mean(run.results, explained, metric.key) is not None for run in runs.values()):
            metrics[explained, metric.key] = replace(metric, subtitle=names.role_title(explained).lower())
    columns = [replace(metric, key=f"{role}/{key}") for (role, key), metric in metrics.items()]
    values = {name: _headline_values(run, list(metrics)) for name, run in runs.items()}
    rows = [Row((name,), tuple(cells)) for name, cells in _compared_cells(columns, values, reference).items()]
    return Table("Results", ("Method",), tuple(column.column for column in columns), (Group("", tuple(rows)),))


def comparison_table(runs: Sequence[pathlib.Path]) -> str:
    """The headline of a comparison as text for a terminal, one row a method.

    Args:
      runs: the run folders, in the order of the rows.

    Raises:
      ValueError: a folder lacks a file or holds a broken one.
    """
    methods = named_methods([read_run(path) for path in runs])
    reference = reference_method(methods)
    table = headline_table(methods, reference)
    caption = ["Accuracy: mean over the domains of each test; ± is one standard error, bootstrapped over concepts."]
    caption += [f"{sentence}." for sentence in paired.difference_sentences(methods, reference)]
    if any(column.title in (MASK_IOU.title, CAM_ENERGY.title) for column in table.columns):
        role = names.role_title(str(explained_role([result for run in methods.values() for result in run.results])))
        caption.append(f"Mask IoU, CAM energy (share of Grad-CAM inside the object): {role.lower()}.")
    return terminal(replace(table, name_titles=("",), caption=tuple(caption)))


def _measured(metrics: Sequence[Metric], results: Sequence[Result]) -> list[Metric]:
    return [metric for metric in metrics if any(metric.key in result.values for result in results)]


def _role_group(role: str, rows: Sequence[Row], runs: Sequence[Run]) -> Group:
    meaning = names.role_meaning(role, runs[0].dataset, shared_selection(runs))
    return Group(names.role_title(role), tuple(rows), meaning)


def _with_images(title: str, name_titles: tuple[str, ...], metrics: Sequence[Metric], groups: Sequence[Group]) -> Table:
    """The table; its last column, the numbers of images, is left out where no row has one."""
    columns = (*(metric.column for metric in metrics), Column("Images"))
    table = Table(title, name_titles, columns, tuple(groups))
    if any(row.cells[-1].value for row in table.rows):
        return table
    cut = [replace(group, rows=tuple(replace(row, cells=row.cells[:-1]) for row in group.rows)) for group in groups]
    return Table(title, name_titles, columns[:-1], tuple(cut))


def _images(metrics: Sequence[Metric], result: Result | None) -> Cell:
    """Over how many images the values are: faithfulness is measured on a part of them."""
    if result is None:
        return Cell("")
    images = result.faithfulness_images if set(metrics) <= set(FAITHFULNESS) else result.examples
    return Cell("" if images is None else f"{images:,}")


def _means(results: Sequence[Result], role: str, metrics: Sequence[Metric]) -> Values:
    means = {key: role_mean(results, role, key) for m in metrics for key in (m.key, f"random_{m.key}")}
    return {key: mean for key, mean in means.items() if mean is not None}


def _headline_values(run: Run, columns: Sequence[tuple[str, str]]) -> Values:
    """Means over the domains of a role, by `role/key`.

    The error is that of the accuracy over a new draw of concepts, or of a role's only domain. Over several domains
    there is no other: they share their concepts, so that their errors do not average out.
    """
    values: dict[str, float | None] = {}
    for role, key in columns:
        values[f"{role}/{key}"] = role_mean(run.results, role, key)
        error = paired.accuracy_standard_error(run, role) if key == "accuracy" else None
        of_role = [result for result in run.results if result.role == role]
        if error is None and len(of_role) == 1:
            error = of_role[0].values.get(f"{key}_standard_error")
        values[f"{role}/{key}_standard_error"] = error
    return {key: value for key, value in values.items() if value is not None}


def _compared_cells(
    metrics: Sequence[Metric], of_method: Mapping[str, Values], reference: str
) -> dict[str, list[Cell]]:
    """Each method's cells, with their differences to the reference, and the best of each column marked."""
    best = {metric.key: _best(metric, [values.get(metric.key) for values in of_method.values()]) for metric in metrics}
    cells: dict[str, list[Cell]] = {}
    for name, values in of_method.items():
        cells[name] = []
        for metric in metrics:
            cell = _cell(metric, values)
            difference = metric.difference(values.get(metric.key), of_method[reference].get(metric.key))
            difference = "" if name == reference else difference
            cells[name].append(replace(cell, difference=difference, best=cell.value in best[metric.key]))
    return cells


def _best(metric: Metric, values: Sequence[float | None]) -> set[str]:
    """The text of the best value; empty where nothing was compared or all look alike."""
    present = [value for value in values if value is not None]
    texts = {metric.text(value) for value in present}
    if metric.better == "neither" or len(texts) < 2:
        return set()
    return {metric.text(max(present) if metric.better == "higher" else min(present))}


def _cell(metric: Metric, values: Values) -> Cell:
    value, control = values.get(metric.key), values.get(f"random_{metric.key}")
    error = values.get(f"{metric.key}_standard_error")
    beaten = False
    if value is not None and control is not None:
        beaten = {"higher": value <= control, "lower": value >= control, "neither": False}[metric.better]
    return Cell(
        value=metric.text(value),
        error="" if error is None else metric.text(error),
        control="" if control is None else metric.text(control),
        beaten_by_control=beaten,
    )
