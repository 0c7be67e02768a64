"""Methods by domains, for one metric and one role: a group for each domain singled out, with published rows below."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace

from align_jax.data.load import find_dataset
from align_jax.reporting import names
from align_jax.reporting.columns import Metric
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.cells import Cell, average_cell, cell_over_seeds, marked
from align_jax.reporting.many_runs.planned import Planned
from align_jax.reporting.many_runs.published import Published, published_results
from align_jax.reporting.many_runs.tables import BenchmarkTable, Group, Row
from align_jax.reporting.many_runs.tasks import NEVER_RUN, Method, Task
from align_jax.runs.collect import CollectedRun

Values = Mapping[tuple[Method, str, str], Mapping[int, float]]
"""By method, the domain that the protocol singles out, and the domain tested: a value for each seed."""


def measurements(runs: Mapping[tuple[Method, str, int], CollectedRun], role: str, key: str) -> Values:
    """What the tests of a role measured by the metric `key`; NaN where that was no finite number."""
    values: dict[tuple[Method, str, str], dict[int, float]] = {}
    for (method, domain, seed), run in runs.items():
        for result in run.results:
            if result.role == role and (key in result.values or key in result.not_finite):
                values.setdefault((method, domain, result.domain), {})[seed] = result.values.get(key, math.nan)
    return values


def every_domain(task: Task, singled_out: Iterable[str]) -> frozenset[str]:
    """The domains of the data set, as far as they are known: without one of them there is no average.

    Args:
      task: whose runs know all domains, but for those within one domain.
      singled_out: the domains that the protocol singles out in runs, complete or planned.
    """
    known = frozenset(singled_out) | frozenset(task.domains)
    published = frozenset(find_dataset(task.dataset).published_examples)
    return published if known <= published and task.protocol == "in_domain" else known


def domain_table(
    task: Task,
    metric: Metric,
    role: str,
    values: Values,
    titles: Mapping[Method, str],
    planned: Planned,
    domains: frozenset[str],
) -> BenchmarkTable | None:
    """The table of a metric and a role; None where nothing was measured, or nothing finite.

    Args:
      task: what the values are measurements of.
      metric: what they measure.
      role: of the tests.
      values: the measurements.
      titles: the names of the rows, in their order.
      planned: what sweeps planned; it says which cells are missing.
      domains: those of the data set, see `every_domain`; one that was not tested is missing.
    """
    if not any(math.isfinite(value) for by_seed in values.values() for value in by_seed.values()):
        return None
    # A method to which the metric does not apply (ERM has no mask) is not missing.
    has_value = {method for method, _, _ in values}
    methods = [method for method in titles if method in has_value or method.guidance == NEVER_RUN]
    grouped = any(singled != tested for _, singled, tested in values)
    singled_out = sorted({domain for _, domain, _ in values} | {domain for _, domain in planned.seeds})
    columns = {tested for _, _, tested in values}
    # The only domain singled out is not tested in a table by group.
    columns |= {domain for domain in domains if not grouped or singled_out != [domain]}
    others = []
    if not grouped and role == ("id" if task.protocol == "in_domain" else "ood") and task.selection != "oracle":
        others = published_results(task.dataset, task.protocol, metric.key, len(task.class_names))
        # An average beside a published one is over the same domains, or is missing.
        columns |= {domain for row in others for domain in row.values}
    ordered = tuple(sorted(columns))
    named = {method: titles[method] for method in methods}
    if grouped:
        groups = _groups(task, values, named, ordered, singled_out, planned)
    else:
        groups = [_only_group(values, named, ordered, planned)]
    # The average of one column would say it twice.
    groups = [_marked_group(metric, group, with_average=len(ordered) > 1) for group in groups]
    counts = collections.Counter(c.seeds for group in groups for row in group.rows for c in row.cells if c.seeds)
    # Of counts that are equally frequent, the larger.
    usual_seeds = max(counts, key=lambda seeds: (counts[seeds], seeds))
    published = tuple(_published_row(row, metric, ordered) for row in others)
    in_columns = [column for group in groups for column in _columns(group)]
    return BenchmarkTable(
        metric=metric,
        role=role,
        title=f"{metric.title}, {names.role_title(role).lower()}",
        columns=ordered,
        groups=tuple(groups),
        published=published,
        usual_seeds=usual_seeds,
        caption=(
            *captions.domain_caption(task, metric, role, others, published),
            *captions.usual_seeds(usual_seeds, counts),
            *captions.bold_without_error(metric, in_columns, "column"),
        ),
    )


def _only_group(values: Values, titles: Mapping[Method, str], columns: Sequence[str], planned: Planned) -> Group:
    """Each domain tested is the one that its runs single out."""

    def row(method: Method) -> Row:
        by_seed = [values.get((method, domain, domain), {}) for domain in columns]
        cells = [
            cell_over_seeds(of_cell, _planned_seeds(planned, method, domain))
            for domain, of_cell in zip(columns, by_seed, strict=True)
        ]
        return Row(titles[method], tuple(cells), average_cell(by_seed))

    return Group("", tuple(row(method) for method in titles))


def _groups(
    task: Task,
    values: Values,
    titles: Mapping[Method, str],
    columns: Sequence[str],
    singled_out: Sequence[str],
    planned: Planned,
) -> list[Group]:
    """A group for each domain singled out, and their mean where there are several."""

    def by_seed(method: Method, singled: str, tested: str) -> Mapping[int, float]:
        return values.get((method, singled, tested), {})

    def cell(method: Method, singled: str, tested: str) -> Cell:
        of_cell = by_seed(method, singled, tested)
        if singled == tested and not of_cell:
            return Cell(blank=True)
        return cell_over_seeds(of_cell, _planned_seeds(planned, method, singled))

    def row(method: Method, singled: str) -> Row:
        average = average_cell([by_seed(method, singled, tested) for tested in columns if tested != singled])
        return Row(titles[method], tuple(cell(method, singled, tested) for tested in columns), average)

    def mean_row(method: Method) -> Row:
        cells = [average_cell([by_seed(method, s, tested) for s in singled_out if s != tested]) for tested in columns]
        average = average_cell([by_seed(method, s, tested) for s in singled_out for tested in columns if s != tested])
        return Row(titles[method], tuple(cells), average)

    groups = [
        Group(captions.group_title(task, singled), tuple(row(method, singled) for method in titles))
        for singled in singled_out
    ]
    if len(singled_out) > 1:
        groups.append(Group(f"Mean of the {len(singled_out)} above", tuple(mean_row(method) for method in titles)))
    return groups


def _planned_seeds(planned: Planned, method: Method, singled: str) -> int:
    return len(planned.seeds.get((method, singled), ()))


def _columns(group: Group) -> list[tuple[Cell, ...]]:
    """The group's columns from top to bottom, the averages last."""
    return list(zip(*((*row.cells, row.average) for row in group.rows), strict=True))


def _marked_group(metric: Metric, group: Group, with_average: bool) -> Group:
    *columns, averages = _columns(group)
    by_column = [marked(metric, column) for column in columns]
    marked_averages = marked(metric, averages) if with_average else [Cell()] * len(group.rows)
    return Group(
        group.title,
        tuple(
            replace(row, cells=tuple(column[i] for column in by_column), average=marked_averages[i])
            for i, row in enumerate(group.rows)
        ),
    )


def _published_row(row: Published, metric: Metric, columns: Sequence[str]) -> Row:
    def printed(text: str) -> Cell:
        return Cell(float(text) / metric.scale, digits=len(text.partition(".")[2])) if text else Cell()

    cells = tuple(printed(row.values.get(column, "")) for column in columns)
    average = printed(row.average)
    values = [cell.value for cell in cells if cell.value is not None]
    if not row.average and len(values) == len(columns) > 1:
        average = Cell(math.fsum(values) / len(values), digits=max(cell.digits or 0 for cell in cells))
    return Row(row.method, cells, average, source=row.source.name)
