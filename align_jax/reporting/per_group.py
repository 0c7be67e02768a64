"""Accuracy by group: the worst group of each test, and all groups of a run, class by environment."""

import collections
from collections.abc import Mapping, Sequence

from align_jax.evaluation.groups import FEWEST_EXAMPLES
from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY
from align_jax.runs.read import Run
from align_jax.tables.table import Cell, Column, Group, Row, Table, shortened

# Columns of a page.
MOST_SHOWN = 20

CAPTION = (
    f"In brackets: images. Bold: the worst group of at least {FEWEST_EXAMPLES} images. The images of a test's domains "
    "are taken together."
)


def worst_group_table(runs: Mapping[str, Run]) -> Table:
    """The worst group of each test: rows are domains, grouped by role; columns are the runs. Empty without groups."""
    every_result = [result for run in runs.values() for result in run.results]
    groups = []
    for role in names.tested_roles([result.role for result in every_result]):
        of_role = [result for result in every_result if result.role == role and result.worst_group]
        rows = [
            Row((domain,), tuple(_worst_cell(run, role, domain) for run in runs.values()))
            for domain in dict.fromkeys(result.domain for result in of_role)
        ]
        if rows:
            groups.append(Group(names.role_title(role), tuple(rows)))
    columns = [Column(name, unit="%") for name in runs] if len(runs) > 1 else [Column("Worst group", unit="%")]
    return Table("Worst groups", ("Domain",), tuple(columns), tuple(groups))


def per_group_table(run: Run) -> Table:
    """All groups of a run: rows are classes, grouped by role; columns are environments. Empty without groups."""
    images: collections.Counter[str] = collections.Counter()
    for result in run.results:
        for group in result.groups:
            images[group.name] += group.examples
    shown = sorted(name for name, _ in images.most_common(MOST_SHOWN))
    groups = []
    for role in names.tested_roles([result.role for result in run.results]):
        totals = group_totals(run, role)
        judged = {hits / count for hits, count in totals.values() if count >= FEWEST_EXAMPLES}
        worst = min(judged) if len(judged) > 1 else -1.0  # where all are alike, none is marked
        rows = [
            Row((class_name,), tuple(_cell(totals.get((class_name, name)), worst) for name in shown))
            for class_name in run.class_names
            if any((class_name, name) in totals for name in shown)
        ]
        if rows:
            groups.append(Group(names.role_title(role), tuple(rows)))
    left_out = len(images) - len(shown)
    caption = [CAPTION, f"{left_out:,} environments with fewer images are left out."] if left_out else [CAPTION]
    return Table("Accuracy by group, %", ("Class",), tuple(map(Column, shown)), tuple(groups), tuple(caption))


def group_totals(run: Run, role: str) -> dict[tuple[str, str], tuple[float, int]]:
    """How many images of each class and environment were right, and how many there are, over a role's domains."""
    totals: dict[tuple[str, str], tuple[float, int]] = {}
    for result in run.results:
        for group in result.groups if result.role == role else ():
            if group.accuracy is not None:
                hits, count = totals.get(group[:2], (0.0, 0))
                totals[group[:2]] = hits + group.accuracy * group.examples, count + group.examples
    return totals


def _cell(total: tuple[float, int] | None, worst: float) -> Cell:
    if total is None:
        return Cell()
    hits, count = total
    return Cell(ACCURACY.text(hits / count), note=f"{count:,}", best=count >= FEWEST_EXAMPLES and hits / count <= worst)


def _worst_cell(run: Run, role: str, domain: str) -> Cell:
    for result in run.results:
        if (result.role, result.domain) == (role, domain) and result.worst_group:
            group = result.worst_group
            note = f"{shortened(group.class_name)}, {shortened(group.name)}: {group.examples:,} images"
            return Cell(ACCURACY.text(group.accuracy), note=note)
    return Cell()


def worst_group_sentences(results: Sequence[Mapping[str, object]]) -> list[str]:
    """The worst group of each row of an evaluation, in a sentence."""
    worst = [
        f"{row['domain']} ({row['split']}) {group['class']}, {group['group']}: {group['examples']:,} images"
        for row in results
        if isinstance(group := row.get("worst_group"), Mapping)
    ]
    return [f"Worst group: {'; '.join(worst)}."] if worst else []
