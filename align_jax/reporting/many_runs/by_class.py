"""Accuracy by class: a row for each class, a column for each method, a group for each domain singled out."""

import math
from collections.abc import Mapping, Sequence

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.over_seeds import SeedMean, average, marked, printed
from align_jax.reporting.many_runs.tasks import Setup, Task
from align_jax.runs.read import Run
from align_jax.tables.table import Column, Group, Row, Table


def class_table(
    task: Task,
    role: str,
    runs: Mapping[tuple[Setup, str, int], Run],
    titles: Mapping[Setup, str],
) -> Table | None:
    """The table of a role, in percent; None where no run says its accuracy by class."""
    values: dict[tuple[Setup, str, str], dict[int, list[float]]] = {}
    for (setup, domain, seed), run in runs.items():
        for result in run.results:
            if result.role == role:
                for name, value in result.per_class_accuracy.items():
                    values.setdefault((setup, domain, name), {}).setdefault(seed, []).append(value)
    if not values:
        return None
    means = {key: {s: math.fsum(v) / len(v) for s, v in by_seed.items()} for key, by_seed in values.items()}
    measured = {setup for setup, _, _ in means}
    setups = [setup for setup in titles if setup in measured]
    domains = sorted({domain for _, domain, _ in means})

    def rows(domains: Sequence[str]) -> list[list[SeedMean]]:
        # A class that a domain does not have is no part of its mean.
        having = {c: [d for d in domains if any((s, d, c) in means for s in setups)] for c in task.class_names}
        return [
            marked(ACCURACY, [average([means.get((s, d, name), {}) for d in having[name]]) for s in setups])
            for name in task.class_names
        ]

    in_domain = task.protocol == "in_domain"
    groups = [(domain if in_domain else captions.group_title(task, domain), rows([domain])) for domain in domains]
    if len(domains) > 1:
        groups.insert(0, (f"Mean of the {len(domains)} below", rows(domains)))
    return Table(
        title=f"Accuracy by class, {names.role_title(role).lower()}, %",
        name_titles=("Class",),
        columns=tuple(Column(titles[setup]) for setup in setups),
        groups=tuple(
            Group(
                title,
                tuple(
                    Row((name,), tuple(printed(ACCURACY, mean) for mean in of_class))
                    for name, of_class in zip(task.class_names, of_group, strict=True)
                ),
            )
            for title, of_group in groups
        ),
        caption=(
            captions.CLASS_CAPTION,
            *captions.bold_without_error(ACCURACY, [row for _, of_group in groups for row in of_group], "row"),
        ),
    )
