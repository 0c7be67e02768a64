"""Accuracy by background: the same objects on random, aligned, neutral and conflicting ones, side by side."""

from collections.abc import Mapping
from dataclasses import replace

from align_jax.data.load import find_dataset
from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY, FLIPS, GAP, WORST_GROUP
from align_jax.reporting.result_tables import compared_by_role
from align_jax.runs.read import Run
from align_jax.tables.table import Column, Group, Table


def background_title(split: str) -> str:
    """`test_random` as `Random`."""
    words = split.removeprefix("test_").replace("_", " ")
    return words[:1].upper() + words[1:]


def background_table(runs: Mapping[str, Run], reference: str = "") -> Table | None:
    """One row a method, grouped by training and held-out domains: what its accuracy is on each kind of background.

    The plain test is that on random backgrounds, where the data set has one. The worst group is that on conflicting
    ones, where what is learned from aligned ones misleads.

    Args:
      runs: by the names of their methods.
      reference: as in `results_table`.

    Returns:
      None where no run has such tests.
    """
    splits = {result.role: result.split for run in runs.values() for result in run.results}
    domains = find_dataset(next(iter(runs.values())).dataset).domains_called
    titles = {"id": f"Training {domains}", "ood": f"Held-out {domains[:-1]}"}
    groups: list[Group] = []
    columns: tuple[Column, ...] = ()
    for plain, others in names.BY_BACKGROUND.items():
        if not any(role in splits for role in others):
            continue
        random = "background_shift" if plain == "id" and "background_shift" in splits else plain
        measured = [
            replace(ACCURACY, key=f"{role}/accuracy", title=background_title(splits.get(role, role)))
            for role in (random, *others)
        ]
        measured += [replace(metric, key=f"{plain}/{metric.key}") for metric in (GAP, FLIPS)]
        measured.append(replace(WORST_GROUP, key=f"{others[-1]}/{WORST_GROUP.key}", subtitle="conflicting"))
        groups.append(compared_by_role(titles[plain], runs, measured, reference))
        columns = columns or tuple(metric.column for metric in measured)
    return Table("Accuracy by background", ("Method",), columns, tuple(groups)) if groups else None
