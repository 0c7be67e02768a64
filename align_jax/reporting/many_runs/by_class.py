"""Accuracy by class: a row for each class, a column for each method, a group for each domain singled out."""

import math
from collections.abc import Mapping, Sequence

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.cells import Cell, average_cell, marked
from align_jax.reporting.many_runs.tables import ClassTable, Group, Row
from align_jax.reporting.many_runs.tasks import Method, Task
from align_jax.runs.collect import CollectedRun


def class_table(
    task: Task,
    role: str,
    runs: Mapping[tuple[Method, str, int], CollectedRun],
    titles: Mapping[Method, str],
) -> ClassTable | None:
    """The table of a role; None where no run says its accuracy by class."""
    values: dict[tuple[Method, str, str], dict[int, list[float]]] = {}
    for (method, domain, seed), run in runs.items():
        for result in run.results:
            if result.role == role:
                for name, value in result.per_class_accuracy.items():
                    values.setdefault((method, domain, name), {}).setdefault(seed, []).append(value)
    if not values:
        return None
    means = {key: {s: math.fsum(v) / len(v) for s, v in by_seed.items()} for key, by_seed in values.items()}
    measured = {method for method, _, _ in means}
    methods = [method for method in titles if method in measured]
    domains = sorted({domain for _, domain, _ in means})

    def rows(domains: Sequence[str]) -> tuple[Row, ...]:
        # A class that a domain does not have is no part of its mean.
        having = {c: [d for d in domains if any((m, d, c) in means for m in methods)] for c in task.class_names}
        return tuple(
            Row(
                name,
                tuple(
                    marked(
                        ACCURACY,
                        [average_cell([means.get((m, d, name), {}) for d in having[name]]) for m in methods],
                    )
                ),
                Cell(),
            )
            for name in task.class_names
        )

    in_domain = task.protocol == "in_domain"
    titled = {domain: domain if in_domain else captions.group_title(task, domain) for domain in domains}
    groups = [Group(titled[domain], rows([domain])) for domain in domains]
    if len(domains) > 1:
        groups.insert(0, Group(f"Mean of the {len(domains)} below", rows(domains)))
    return ClassTable(
        role=role,
        title=f"Accuracy by class, {names.role_title(role).lower()}",
        columns=tuple(titles[method] for method in methods),
        groups=tuple(groups),
        caption=(
            captions.CLASS_CAPTION,
            *captions.bold_without_error(ACCURACY, [row.cells for group in groups for row in group.rows], "row"),
        ),
    )
