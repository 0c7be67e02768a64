"""What sweeps planned: in which table and row a run belongs that is not complete."""

import collections
import pathlib
from collections.abc import Mapping, Sequence, Set
from typing import NamedTuple

from align_jax.reporting.many_runs.tasks import NEVER_RUN, SAYS_THE_TASK, Setup, Task
from align_jax.runs.collect import PlannedCell


class Planned(NamedTuple):
    """What a sweep planned in a task, by setup and the domain singled out: the seeds, complete or not."""

    seeds: Mapping[tuple[Setup, str], Set[int]]
    missing: int


def placed_cells(
    cells: Sequence[PlannedCell], complete: Mapping[pathlib.Path, tuple[Task, Setup]]
) -> tuple[dict[Task, Planned], list[str]]:
    """Finds the task and the row of each planned run by the complete runs of its sweep; says which have none."""
    seeds: dict[Task, dict[tuple[Setup, str], set[int]]] = {}
    missing: collections.Counter[Task] = collections.Counter()
    unplaced: list[str] = []
    for cell in cells:
        place = complete.get(cell.path) or _place(
            cell, [(c, *complete[c.path]) for c in cells if c.sweep == cell.sweep and c.path in complete]
        )
        if place is None:
            unplaced.append(
                f"{cell.path} is planned and not complete, and the complete runs of its sweep do not say what it would "
                "stand beside: in no table."
            )
            continue
        task, setup = place
        missing[task] += cell.path not in complete
        seeds.setdefault(task, {}).setdefault((setup, cell.domain), set()).add(cell.seed)
    return {task: Planned(by_key, missing[task]) for task, by_key in seeds.items()}, unplaced


def _place(cell: PlannedCell, siblings: Sequence[tuple[PlannedCell, Task, Setup]]) -> tuple[Task, Setup] | None:
    """The row of the runs with its method and overrides; else a row of its own in the only task that fits."""

    def task_overrides(of: PlannedCell) -> list[tuple[str, str]]:
        return [(name, value) for name, value in of.overrides if name in SAYS_THE_TASK]

    alike = [(other, task, setup) for other, task, setup in siblings if task_overrides(other) == task_overrides(cell)]
    same = [place for place in alike if place[0].overrides == cell.overrides]
    tasks = {task for _, task, _ in same or alike}
    if len(tasks) != 1:
        return None
    (task,) = tasks
    setups = {setup for other, _, setup in same if other.method == cell.method}
    return task, setups.pop() if len(setups) == 1 else Setup(cell.method, NEVER_RUN, cell.overrides)
