"""Accuracy by class: a row for each class, a column for each method, a group for each domain singled out."""

from collections.abc import Mapping, Sequence
from statistics import fmean

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.over_seeds import SeedMean, average, marked, printed
from align_jax.reporting.many_runs.tasks import Runs, Setup, Task
from align_jax.tables.table import Column, Group, Row, Table


def class_table(task: Task, role: str, runs: Runs, titles: Mapping[Setup, str]) -> Table | None:
    """The table of a role, in percent; None where no run says its accuracy by class."""
    values: dict[tuple[Setup, str, str], dict[int, list[float]]] = {}
    for (setup, domain, seed), run in runs.items():
        for result in run.results:
            if result.role == role:
                for name, value in result.per_class_accuracy.items():
                    values.setdefault((setup, domain, name), {}).setdefault(seed, []).append(value)
    if not values:
        return None
    means = {key: {seed: fmean(of_seed) for seed, of_seed in by_seed.items()} for key, by_seed in values.items()}
    measured = {setup for setup, _, _ in means}
    setups = [setup for setup in titles if setup in measured]
    domains = sorted({domain for _, domain, _ in means})

    def by_class(domains: Sequence[str]) -> dict[str, list[SeedMean]]:
        # A domain without a class does not count in the mean of that class.
        having = {c: [d for d in domains if any((s, d, c) in means for s in setups)] for c in task.class_names}
        return {
            name: marked(ACCURACY, [average([means.get((s, d, name), {}) for d in having[name]]) for s in setups])
            for name in task.class_names
        }

    in_domain = task.protocol == "in_domain"
    groups = [(domain if in_domain else captions.group_title(task, domain), by_class([domain])) for domain in domains]
    if len(domains) > 1:
        groups.insert(0, (f"Mean of the {len(domains)} below", by_class(domains)))
    compared = [row for _, rows in groups for row in rows.values()]
    return Table(
        title=f"Accuracy by class, {names.role_title(role).lower()}, %",
        name_titles=("Class",),
        columns=tuple(Column(titles[setup]) for setup in setups),
        groups=tuple(
            Group(title, tuple(Row((name,), tuple(printed(ACCURACY, m) for m in row)) for name, row in rows.items()))
            for title, rows in groups
        ),
        caption=(captions.CLASS_CAPTION, *captions.bold_without_error(ACCURACY, compared, "row")),
    )
