"""Tables of one run's results, and of several runs side by side."""

import pathlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import replace

from align_jax.reporting import names, paired
from align_jax.reporting.columns import ACCURACY, CAM_ENERGY, FLIPS, GAP, MASK_IOU, WORST_GROUP, Metric, images_behind
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


def results_table(
    runs: Mapping[str, Run], metrics: Sequence[Metric], reference: str = "", leave_out: Sequence[str] = ()
) -> Table:
    """One row a domain and method, grouped by role; each role ends with its mean over several domains.

    Args:
      runs: by the names of their methods, in the order of the rows.
      metrics: the columns; those that no run measured are left out.
      reference: the method to which the differences are taken; empty for a single run, whose rows name no method.
      leave_out: roles that have no group.
    """
    results = [result for run in runs.values() for result in run.results if result.role not in leave_out]
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
    """One row a method: its accuracy in each role, what the background decides, and mask IoU and CAM energy.

    Gap and flips are of the training domains where these were tested, the last two of the role furthest from training.
    """
    results = [result for run in runs.values() for result in run.results]
    roles = names.plain_tests([result.role for result in results])
    columns = [
        replace(ACCURACY, key=f"{role}/accuracy", title=names.role_title(role), subtitle="accuracy") for role in roles
    ]
    explained = explained_role(results)
    with_gap = next((role for role in names.BY_BACKGROUND if _has(results, role, GAP)), None)
    conflicting = names.BY_BACKGROUND[with_gap][-1] if with_gap else explained
    for metric, role in (
        *((metric, with_gap) for metric in (GAP, FLIPS)),
        (WORST_GROUP, conflicting),
        *((metric, explained) for metric in (MASK_IOU, CAM_ENERGY)),
    ):
        if role and _has(results, role, metric):
            columns.append(replace(metric, key=f"{role}/{metric.key}", subtitle=names.role_title(role).lower()))
    return Table(
        "Results", ("Method",), tuple(c.column for c in columns), (compared_by_role("", runs, columns, reference),)
    )


def compared_by_role(title: str, runs: Mapping[str, Run], columns: Sequence[Metric], reference: str) -> Group:
    """One row a method, under columns whose keys are `ROLE/METRIC`: means over the domains of that role."""
    values = {name: _means_by_role(run, columns) for name, run in runs.items()}
    cells = _compared_cells(columns, values, reference)
    return Group(title, tuple(Row((name,), tuple(of_row)) for name, of_row in cells.items()))


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
    caption += [names.GAP_AND_FLIPS] * any(column.title == GAP.title for column in table.columns)
    caption += [f"{sentence}." for sentence in paired.difference_sentences(methods, reference)]
    explained = {MASK_IOU.title: "", CAM_ENERGY.title: " (share of Grad-CAM inside the object)"}
    of_role: dict[str, list[str]] = {}
    for column in table.columns:
        of_role.setdefault(column.subtitle, []).append(column.title + explained.get(column.title, ""))
    caption += [f"{', '.join(titles)}: {role}." for role, titles in of_role.items() if role != "accuracy"]
    return terminal(replace(table, name_titles=("",), caption=tuple(caption)))


def _has(results: Sequence[Result], role: str, metric: Metric) -> bool:
    return any(result.role == role and metric.key in result.values for result in results)


def _measured(metrics: Sequence[Metric], results: Sequence[Result]) -> list[Metric]:
    return [metric for metric in metrics if any(metric.key in result.values for result in results)]


def _images(metrics: Sequence[Metric], result: Result) -> Cell:
    """The number of images behind the values: of explanations if all metrics are."""
    behind = {images_behind(result, metric.key) for metric in metrics}
    images = behind.pop() if len(behind) == 1 else result.examples
    return Cell("" if images is None else f"{images:,}")


def _mean(run: Run, role: str, metrics: Sequence[Metric]) -> Result:
    """The means over the domains of a role, as if of a single one."""
    means = {key: role_mean(run.results, role, key) for m in metrics for key in (m.key, f"random_{m.key}")}
    return replace(NOT_TESTED, values={key: mean for key, mean in means.items() if mean is not None})


def _means_by_role(run: Run, columns: Sequence[Metric]) -> Values:
    """Means over the domains of a role, by `role/key`.

    The error is that of accuracy, gap or flips over a new draw of concepts, or of a role's only domain. Other means
    over several domains have none: the domains share their concepts, so that their errors do not average out.
    """
    values: dict[str, float | None] = {}
    for column in columns:
        role, _, key = column.key.rpartition("/")
        values[column.key] = role_mean(run.results, role, key)
        error = _pooled_error(run, role, key)
        of_role = [result for result in run.results if result.role == role]
        if error is None and len(of_role) == 1:
            error = of_role[0].values.get(f"{key}_standard_error")
        values[f"{column.key}_standard_error"] = error
    return {key: value for key, value in values.items() if value is not None}


def _pooled_error(run: Run, role: str, key: str) -> float | None:
    """The standard error of a mean over the domains of a role, over a new draw of concepts; None if unknown."""
    if key == ACCURACY.key:
        return paired.accuracy_standard_error(run, role)
    pooled = paired.gap_of(run, role) if key in (GAP.key, FLIPS.key) else None
    return None if pooled is None else {GAP.key: pooled.gap_standard_error, FLIPS.key: pooled.flips_standard_error}[key]


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
