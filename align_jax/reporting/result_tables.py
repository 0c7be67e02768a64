"""Tables of one run's results, and of several runs side by side."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from align_jax.reporting import names, paired
from align_jax.reporting.columns import ACCURACY, CAM_ENERGY, FAITHFULNESS, MASK_IOU, Metric
from align_jax.reporting.compared import named_methods, reference_method, shared_selection
from align_jax.runs.read import Result, Run, read_run
from align_jax.tables.table import Cell, Column, Group, Row, Table
from align_jax.tables.terminal import terminal

Values = Mapping[str, float]
"""By key: values, their standard errors (KEY_standard_error), and those of a random map (random_KEY)."""


NOT_TESTED = Result("", "", "", None, {}, {})


def role_mean(results: Sequence[Result], role: str, key: str) -> float | None:
    """Unweighted mean over the domains of a role; None unless every one of them has the value."""
    values = [result.values.get(key) for result in results if result.role == role]
    present = [value for value in values if value is not None]
    return sum(present) / len(present) if present and len(present) == len(values) else None


def explained_role(results: Sequence[Result]) -> str | None:
    """The role whose masks and maps stand for a run in a headline: the one furthest from training."""
    roles = names.plain_tests([result.role for result in results])
    known = [role for role in roles if role in names.ROLES]
    return (known or roles)[-1] if roles else None


def results_table(runs: Mapping[str, Run], metrics: Sequence[Metric], reference: str = "") -> Table:
    """One row a domain and method, grouped by role; each role ends with its mean over several domains.

    Args:
      runs: by the names of their methods, in the order of the rows.
      metrics: the columns; those that no run measured are left out.
      reference: the method to which the differences are taken; empty for a single run, whose rows name no method.
    """
    results = [result for run in runs.values() for result in run.results]
    metrics = _measured(metrics, results)
    has_images = any(_images(metrics, result).value for result in results)

    def rows(domain: str, of_method: Mapping[str, Result], is_mean: bool = False) -> Iterator[Row]:
        values = {name: result.values for name, result in of_method.items()}
        for name, cells in _compared_cells(metrics, values, reference).items():
            images = [_images(metrics, of_method[name])] if has_images else []
            yield Row((domain, name) if reference else (domain,), (*cells, *images), is_mean=is_mean)

    groups = []
    for role in names.in_role_order([result.role for result in results]):
        of_role = [result for result in results if result.role == role]
        if not _measured(metrics, of_role):
            continue
        domains = list(dict.fromkeys(result.domain for result in of_role))
        of_group: list[Row] = []
        for domain in domains:
            tested = {
                name: next((r for r in run.results if (r.role, r.domain) == (role, domain)), NOT_TESTED)
                for name, run in runs.items()
            }
            of_group += rows(domain, tested)
        if len(domains) > 1:
            title = f"Mean of {len(domains)}" if reference else f"Mean of {len(domains)} domains"
            of_group += rows(title, {name: _mean(run, role, metrics) for name, run in runs.items()}, is_mean=True)
        meaning = names.role_meaning(role, next(iter(runs.values())).dataset, shared_selection(list(runs.values())))
        groups.append(Group(names.role_title(role), tuple(of_group), meaning))
    columns = [metric.column for metric in metrics] + ([Column("Images")] if has_images else [])
    return Table("Results", ("Domain", "Method") if reference else ("Domain",), tuple(columns), tuple(groups))


def headline_table(runs: Mapping[str, Run], reference: str) -> Table:
    """One row a method: its accuracy in each role, and mask IoU and CAM energy in the role furthest from training."""
    results = [result for run in runs.values() for result in run.results]
    roles = names.plain_tests([result.role for result in results])
    columns = [
        replace(ACCURACY, key=f"{role}/accuracy", title=names.role_title(role), subtitle="accuracy") for role in roles
    ]
    explained = explained_role(results)
    for metric in (MASK_IOU, CAM_ENERGY):
        if explained and any(role_mean(run.results, explained, metric.key) is not None for run in runs.values()):
            subtitle = names.role_title(explained).lower()
            columns.append(replace(metric, key=f"{explained}/{metric.key}", subtitle=subtitle))
    values = {name: _headline_values(run, columns) for name, run in runs.items()}
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


def _images(metrics: Sequence[Metric], result: Result) -> Cell:
    """The number of images behind the values; faithfulness is measured on a part of them."""
    images = result.faithfulness_images if set(metrics) <= set(FAITHFULNESS) else result.examples
    return Cell("" if images is None else f"{images:,}")


def _mean(run: Run, role: str, metrics: Sequence[Metric]) -> Result:
    """The means over the domains of a role, as if of a single one."""
    means = {key: role_mean(run.results, role, key) for m in metrics for key in (m.key, f"random_{m.key}")}
    return replace(NOT_TESTED, values={key: mean for key, mean in means.items() if mean is not None})


def _headline_values(run: Run, columns: Sequence[Metric]) -> Values:
    """Means over the domains of a role, by `role/key`.

    The error is that of the accuracy over a new draw of concepts, or of a role's only domain. Other means over several
    domains have none: the domains share their concepts, so that their errors do not average out.
    """
    values: dict[str, float | None] = {}
    for column in columns:
        role, _, key = column.key.rpartition("/")
        values[column.key] = role_mean(run.results, role, key)
        error = paired.accuracy_standard_error(run, role) if key == "accuracy" else None
        of_role = [result for result in run.results if result.role == role]
        if error is None and len(of_role) == 1:
            error = of_role[0].values.get(f"{key}_standard_error")
        values[f"{column.key}_standard_error"] = error
    return {key: value for key, value in values.items() if value is not None}


def _compared_cells(
    metrics: Sequence[Metric], of_method: Mapping[str, Values], reference: str
) -> dict[str, list[Cell]]:
    """Each method's cells: with their differences to the reference, if there is one, and the best of each column."""
    best = {metric.key: _best(metric, [values.get(metric.key) for values in of_method.values()]) for metric in metrics}
    return {
        name: [
            _cell(metric, values, {} if reference in ("", name) else of_method[reference], best[metric.key])
            for metric in metrics
        ]
        for name, values in of_method.items()
    }


def _best(metric: Metric, values: Sequence[float | None]) -> set[str]:
    """The text of the best value; empty where nothing was compared or all look alike."""
    present = [value for value in values if value is not None]
    texts = {metric.text(value) for value in present}
    if metric.better == "neither" or len(texts) < 2:
        return set()
    return {metric.text(max(present) if metric.better == "higher" else min(present))}


def _cell(metric: Metric, values: Values, reference: Values, best: set[str]) -> Cell:
    value, control = values.get(metric.key), values.get(f"random_{metric.key}")
    error = values.get(f"{metric.key}_standard_error")
    beaten = False
    if value is not None and control is not None:
        beaten = {"higher": value <= control, "lower": value >= control, "neither": False}[metric.better]
    return Cell(
        value=metric.text(value),
        error=metric.text(error, missing=""),
        difference=metric.difference(value, reference.get(metric.key)),
        control=metric.text(control, missing=""),
        best=metric.text(value) in best,
        beaten_by_control=beaten,
    )
