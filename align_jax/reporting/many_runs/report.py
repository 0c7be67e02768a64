"""Every table of a collection of runs: a report for each task, with what was left out and why."""

import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

from align_jax.errors import without_middle
from align_jax.reporting import names
from align_jax.reporting.columns import DEFAULT_METRICS, METRICS, ON_BACKGROUNDS_TOO, VALIDATION_ACCURACY
from align_jax.reporting.many_runs import captions
from align_jax.reporting.many_runs.by_class import class_table
from align_jax.reporting.many_runs.by_domain import DomainTable, domain_table, every_domain, measurements
from align_jax.reporting.many_runs.planned import Planned, placed_cells
from align_jax.reporting.many_runs.settings import Settings, task_settings
from align_jax.reporting.many_runs.tasks import Runs, Setup, Task, by_task, row_titles, setup_of
from align_jax.runs.collect import Collection
from align_jax.runs.read import Run
from align_jax.runs.untrusted_json import printable
from align_jax.tables.table import Table


class TaskReport(NamedTuple):
    """All tables of a task.

    Attributes:
      title: no other task of the report has it.
      notes: warnings before the tables.
      tables: methods by domains, one a metric and role.
      class_tables: accuracy by class, one a role.
      runs: the complete ones.
      rows: the title of each run's row, by its folder.
      planned: how many runs there are, complete or planned.
    """

    title: str
    task: Task
    notes: tuple[str, ...]
    tables: tuple[DomainTable, ...]
    class_tables: tuple[Table, ...]
    settings: Settings
    runs: tuple[Run, ...]
    rows: Mapping[pathlib.Path, str]
    planned: int


class Report(NamedTuple):
    """The tables of every task of a collection; `problems` says what was left out, and why."""

    tasks: tuple[TaskReport, ...]
    problems: tuple[str, ...]


def make_report(collection: Collection, metrics: Sequence[str] = DEFAULT_METRICS) -> Report:
    """Groups runs by task and makes the tables.

    Args:
      collection: what `collect` found.
      metrics: keys of `METRICS`, in the order of the tables; one that no run measured gives no table.
    """
    problems = list(collection.problems)
    tasks: dict[Task, dict[tuple[Setup, str, int], Run]] = {}
    for task, runs in by_task(collection.runs).items():
        of_task = tasks.setdefault(task, {})
        for run in runs:
            first = of_task.setdefault((setup_of(run), run.domain, run.seed), run)
            if first is not run:
                problems.append(f"{run.path} repeats {first.path} (same settings, domain and seed): left out.")
    complete = {run.path: (task, setup) for task, runs in tasks.items() for (setup, _, _), run in runs.items()}
    planned, unplaced = placed_cells(collection.cells, complete)
    problems += unplaced
    protocols = list(names.PROTOCOLS)
    ordered = sorted(
        tasks, key=lambda t: (t.dataset, protocols.index(t.protocol), t.selection == "oracle", t.selection, repr(t))
    )
    reports = [
        _task_report(task, tasks[task], planned.get(task, Planned({}, 0)), list(tasks), metrics) for task in ordered
    ]
    return Report(tuple(reports), tuple(without_middle(printable(problem)) for problem in problems))


def _task_report(task: Task, runs: Runs, planned: Planned, tasks: Sequence[Task], metrics: Sequence[str]) -> TaskReport:
    titles = row_titles(list(dict.fromkeys([setup for setup, _, _ in runs] + [setup for setup, _ in planned.seeds])))
    roles = names.tested_roles([result.role for run in runs.values() for result in run.results])
    # First the tests that the protocol is for.
    roles.sort(key=lambda role: role != ("id" if task.protocol == "in_domain" else "ood"))
    domains = every_domain(task, [domain for _, domain, _ in runs] + [domain for _, domain in planned.seeds])
    plain = names.plain_tests(roles)
    asked = [
        (role, key)
        for role in roles
        for key in metrics
        if key != VALIDATION_ACCURACY.key and (role in plain or key in ON_BACKGROUNDS_TOO)
    ]
    asked += [("validation", key) for key in metrics if key == VALIDATION_ACCURACY.key]
    tables = [
        domain_table(task, METRICS[key], role, measurements(runs, role, key), titles, planned, domains)
        for role, key in asked
    ]
    class_tables = [class_table(task, role, runs, titles) for role in roles if role in plain]
    return TaskReport(
        title=captions.task_title(task, tasks),
        task=task,
        notes=captions.notes(task, tasks, titles),
        tables=tuple(table for table in tables if table is not None),
        class_tables=tuple(table for table in class_tables if table is not None),
        settings=task_settings(titles, task),
        runs=tuple(runs.values()),
        rows={run.path: titles[setup] for (setup, _, _), run in runs.items()},
        planned=len(runs) + planned.missing,
    )
