"""Methods by domains, for one metric and one role: a group for each domain singled out, with published rows below."""

import collections
import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import NamedTuple

from align_jax.data.load import find_dataset
from align_jax.reporting import names
from align_jax.reporting.columns import VALIDATION_ACCURACY, Metric
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.over_seeds import SeedMean, average, marked, over_seeds, printed
from align_jax.reporting.many_runs.planned import Planned
from align_jax.reporting.many_runs.published import Published, published_results
from align_jax.reporting.many_runs.tasks import NEVER_RUN, Runs, Setup, Task
from align_jax.tables.table import MISSING, Cell, Column, Group, Row, Table

Values = Mapping[tuple[Setup, str, str], Mapping[int, float]]
"""By setup, the domain that the protocol singles out, and the domain tested: a value for each seed."""

Pairs = list[tuple[str, str]]
"""What a cell is the mean of: the domain singled out and the domain tested, once or several times."""

Means = list[list[SeedMean]]
"""The rows of a group: a mean for each column and, where there are several columns, their average as the last."""


class DomainTable(NamedTuple):
    """The table of a metric in the tests of a role; it prints `means` and `averages`, the numbers of our rows."""

    metric: Metric
    role: str
    table: Table
    means: tuple[SeedMean, ...]
    averages: tuple[SeedMean, ...]


def measurements(runs: Runs, role: str, key: str) -> Values:
    """What the tests of a role measured by the metric `key`; NaN where that was not finite."""
    values: dict[tuple[Setup, str, str], dict[int, float]] = {}
    for (setup, domain, seed), run in runs.items():
        if key == VALIDATION_ACCURACY.key and (run.validation_accuracy is not None or run.validation_is_not_finite):
            score = math.nan if run.validation_accuracy is None else run.validation_accuracy
            values.setdefault((setup, domain, domain), {})[seed] = score
        for result in run.results:
            if result.role == role and (key in result.values or key in result.not_finite):
                values.setdefault((setup, domain, result.domain), {})[seed] = result.values.get(key, math.nan)
    return values


def every_domain(task: Task, singled_out: Iterable[str]) -> frozenset[str]:
    """The domains of the data set, as far as they are known: without one of them there is no average.

    The runs of a task know all domains, unless each is within one; `singled_out` are those of runs complete or planned.
    """
    known = frozenset(singled_out) | frozenset(task.domains)
    published = frozenset(find_dataset(task.dataset).published_examples)
    return published if known <= published and task.protocol == "in_domain" else known


def domain_table(
    task: Task,
    metric: Metric,
    role: str,
    values: Values,
    titles: Mapping[Setup, str],
    planned: Planned,
    domains: frozenset[str],
) -> DomainTable | None:
    """The table of a metric and a role; None where nothing was measured, or nothing finite.

    Missing are the cells that sweeps `planned`, and the `domains` of the data set (see `every_domain`) without a test.
    """
    if not any(math.isfinite(value) for by_seed in values.values() for value in by_seed.values()):
        return None
    grouped = any(singled != tested for _, singled, tested in values)
    others: list[Published] = []
    if not grouped and role == ("id" if task.protocol == "in_domain" else "ood") and task.selection != "oracle":
        others = published_results(task.dataset, task.protocol, metric.key, len(task.class_names))
    singled_out = sorted({domain for _, domain, _ in values} | {domain for _, domain in planned.seeds})
    columns = {tested for _, _, tested in values} | {domain for row in others for domain in row.values}
    # The only domain singled out is not tested in a table by group. In any other table no domain is left out, so that
    # an average is over all of them, as published ones are, or is missing.
    columns |= {domain for domain in domains if not grouped or singled_out != [domain]}
    ordered = sorted(columns)
    # A method to which the metric does not apply (ERM has no mask) is not missing.
    has_value = {setup for setup, _, _ in values}
    setups = [setup for setup in titles if setup in has_value or setup.guidance == NEVER_RUN]
    groups = []
    for title, cells in _groups(task, grouped, ordered, singled_out):
        rows = [_means(values, setup, cells, grouped, planned) for setup in setups]
        by_column = [marked(metric, column) for column in zip(*rows, strict=True)]
        groups.append((title, [list(row) for row in zip(*by_column, strict=True)]))
    return _table(task, metric, role, ordered, [titles[setup] for setup in setups], groups, others)


def _table(
    task: Task,
    metric: Metric,
    role: str,
    columns: Sequence[str],
    titles: Sequence[str],
    groups: Sequence[tuple[str, Means]],
    others: Sequence[Published],
) -> DomainTable:
    """Prints the numbers: `groups` of our rows, which all have the same titles, and what others published."""
    rows = [row for _, of_group in groups for row in of_group]
    means = tuple(mean for row in rows for mean in row[: len(columns)])
    counts = collections.Counter(mean.seeds for mean in means if mean.seeds)
    # The most frequent count; of several, the largest.
    usual_seeds = max(counts, key=lambda seeds: (counts[seeds], seeds))

    def row(title: str, of_row: Sequence[SeedMean]) -> Row:
        return Row((title,), tuple(printed(metric, mean, usual_seeds) for mean in of_row))

    # An average of one column would only repeat it.
    mean_column = [Column("Average", is_mean=True)] if len(columns) > 1 else []
    published = [_published_row(other, metric, columns, bool(mean_column)) for other in others]
    computed = any(
        mean_column and not other.average and row.cells[-1].value != MISSING
        for other, row in zip(others, published, strict=True)
    )
    compared = [column for _, of_group in groups for column in zip(*of_group, strict=True)]
    unit = f", {metric.unit}" if metric.unit else ""
    table = Table(
        title=f"{metric.title}, {names.role_title(role).lower()}{unit} {metric.column.arrow}".rstrip(),
        name_titles=("Method",),
        columns=(*map(Column, columns), *mean_column),
        groups=(
            *(Group(title, tuple(map(row, titles, of_group))) for title, of_group in groups),
            *([Group("Published", tuple(published), "by others")] if published else []),
        ),
        caption=(
            *captions.domain_caption(task, metric, role, others, computed),
            *captions.usual_seeds(usual_seeds, counts),
            *captions.bold_without_error(metric, compared, "column"),
        ),
    )
    return DomainTable(metric, role, table, means, tuple(row[-1] for row in rows if mean_column))


def _groups(
    task: Task, grouped: bool, columns: Sequence[str], singled_out: Sequence[str]
) -> list[tuple[str, list[Pairs]]]:
    """The title of each group, and what each of its columns is the mean of."""
    if not grouped:
        return [("", [[(domain, domain)] for domain in columns])]
    groups = [(captions.group_title(task, s), [[(s, tested)] for tested in columns]) for s in singled_out]
    if len(singled_out) > 1:
        of_all = [[(s, tested) for s in singled_out if s != tested] for tested in columns]
        groups.append((f"Mean of the {len(singled_out)} above", of_all))
    return groups


def _means(values: Values, setup: Setup, cells: Sequence[Pairs], grouped: bool, planned: Planned) -> list[SeedMean]:
    """A row's mean in each cell and, where there are several cells, their average."""
    parts = {pair: values.get((setup, *pair), {}) for pairs in cells for pair in pairs}
    is_mean = grouped and len({singled for singled, _ in parts}) > 1
    means = []
    for pairs in cells:
        if is_mean:
            means.append(average([parts[pair] for pair in pairs]))
            continue
        ((singled, tested),) = pairs
        by_seed = parts[singled, tested]
        seeds = len(planned.seeds.get((setup, singled), ()))
        trained_on = grouped and singled == tested and not by_seed
        means.append(SeedMean(blank=True) if trained_on else over_seeds(by_seed, seeds))
    if len(cells) > 1:
        means.append(average([part for (singled, tested), part in parts.items() if not grouped or singled != tested]))
    return means


def _published_row(row: Published, metric: Metric, columns: Sequence[str], with_average: bool) -> Row:
    texts = [row.values.get(column, MISSING) for column in columns]
    average = row.average
    if not average and MISSING not in texts:
        digits = max(len(text.partition(".")[2]) for text in texts)
        mean = math.fsum(float(text) / metric.scale for text in texts) / len(texts)
        average = replace(metric, digits=digits).text(mean)
    texts += [average or MISSING] if with_average else []
    return Row((row.method,), tuple(map(Cell, texts)), source=row.source.name)
