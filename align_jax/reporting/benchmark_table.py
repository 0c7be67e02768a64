"""Tables of many runs, as data: methods by domains, over seeds, with what is missing and what others published.

Runs are averaged only over seeds, and only where everything else is equal. What makes a test another one (data set,
protocol, selection rule, classes, splits) makes another `Benchmark`; any other setting makes another row.
"""

import collections
import math
import pathlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting import names
from align_jax.reporting.collect import CollectedRun, Collection, SweepCell
from align_jax.reporting.names import Metric
from align_jax.reporting.published import Published, published_results
from align_jax.results import FREE_TO_CHANGE

METRICS: dict[str, Metric] = {
    metric.key: metric
    for metric in (
        names.ACCURACY,
        Metric("balanced_accuracy", "Balanced accuracy", "higher", 100, 1),
        Metric("auc", "AUC", "higher", 100, 1),
        *names.FAITHFULNESS,
        names.MASK_IOU,
        names.CAM_ENERGY,
        Metric("validation_accuracy", "Validation accuracy", "higher", 100, 1),
    )
}
DEFAULT_METRICS = ("accuracy", "balanced_accuracy", "auc", "insertion_auc", "comprehensiveness", "sufficiency")
"""Accuracies, and what the papers' tables have."""

DATASET_TITLES = {
    "vlcs": "VLCS",
    "terra_incognita": "Terra Incognita",
    "emoji_scenes": "emoji_scenes",
    "office_home": "Office-Home",
    "domain_net": "DomainNet",
}
SELECTION_TITLES = {"training_domain_validation": "training-domain validation", "last": "last step"}
PROTOCOL_TITLES = {"in_domain": "in domain", "single_source": "single source", "leave_one_out": "leave one out"}

ROLE_MEANINGS = {
    ("in_domain", "id"): "Each column: trained, selected and tested on parts of that one domain.",
    ("leave_one_out", "ood"): "Each column: trained on the other domains, tested on the whole of that one.",
    ("single_source", "ood"): "Trained on one domain, tested on the whole of each other one.",
}

# Settings that say what is tested: runs that differ in them are not in one table.
TASK_SETTINGS = (
    "data.folder",
    "data.split_seed",
    "data.stratified",
    "data.correlation",
    "data.fold",
    "data.class_set",
)
SAYS_THE_TASK = (*TASK_SETTINGS, "data.name", "data.protocol", "selection")
# Settings that the summary repeats, or that change nothing in the numbers.
NOT_COMPARED = {
    *FREE_TO_CHANGE,
    *SAYS_THE_TASK,
    *("algorithm", "guidance", "seed", "data.domain"),
    *("checkpoint_every", "log_every", "evaluation.gallery_images"),
}
# What a reader asks for first; the rest is listed after it.
MAIN_SETTINGS = (
    *("classifier.name", "classifier.pretrained", "classifier.freeze_batch_norm", "data.image_size"),
    *("optim.name", "optim.lr", "optim.weight_decay", "optim.schedule"),
    *("schedule.batch_size", "schedule.length", "schedule.unit", "schedule.warmup", "schedule.warmup_unit"),
)


@dataclass(frozen=True)
class Task:
    """What is trained on and tested, and how the checkpoint was chosen; one set of tables each."""

    dataset: str
    protocol: str
    selection: str
    class_names: tuple[str, ...]
    domains: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Method:
    """What has a row: `settings` are all that can change a result."""

    algorithm: str
    guidance: str
    settings: tuple[tuple[str, str], ...]


# The guidance of a method of which a sweep planned runs, and none is complete.
NEVER_RUN = "(never run)"


@dataclass(frozen=True)
class Cell:
    """A mean over seeds in the metric's own unit; None where nothing was measured.

    Attributes:
      error: of the mean, sd / sqrt(seeds); None for one seed.
      seeds: how many runs it is over.
      planned: how many a sweep planned, where not all of them are complete; else 0.
      best: nothing in its column is better by more than one standard error of the difference.
      blank: there can be no value, as for a domain that was trained on.
      digits: of a published value, as printed.
    """

    value: float | None = None
    error: float | None = None
    seeds: int = 0
    planned: int = 0
    best: bool = False
    blank: bool = False
    digits: int | None = None


@dataclass(frozen=True)
class Row:
    """A method's cells in the order of the columns, and their average; `source` is who published them."""

    name: str
    cells: tuple[Cell, ...]
    average: Cell
    source: str = ""


@dataclass(frozen=True)
class Group:
    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class BenchmarkTable:
    """Methods by domains for one metric and one role.

    Attributes:
      groups: a single one without title; or, where the tested domains are not the one that the protocol singles out,
        one for each of those, and their mean.
      published: other people's rows; never compared with ours.
      usual_seeds: over how many seeds most of our cells are; the others say over how many they are.
      caption: sentences on this table; `legend` has those that say how to read it.
    """

    metric: Metric
    role: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    published: tuple[Row, ...]
    usual_seeds: int
    caption: tuple[str, ...]


@dataclass(frozen=True)
class ClassTable:
    """Accuracy by class (rows) and method (columns); a row's `average` is not used."""

    role: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    caption: tuple[str, ...]


@dataclass(frozen=True)
class Settings:
    """Settings shared by all rows, and those that are not: by name, a value for each method."""

    shared: Mapping[str, str]
    differing: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...]

    @property
    def main(self) -> str:
        """The shared settings that a reader asks for first, on one line."""
        return ", ".join(f"{name} = {self.shared[name]}" for name in MAIN_SETTINGS if name in self.shared)

    @property
    def others(self) -> dict[str, str]:
        return {name: value for name, value in self.shared.items() if name not in MAIN_SETTINGS}


@dataclass(frozen=True)
class Benchmark:
    """All tables of a task; `rows` names the row of each run, by its folder; `planned` counts complete runs too."""

    title: str
    task: Task
    selection: str
    is_oracle: bool
    notes: tuple[str, ...]
    tables: tuple[BenchmarkTable, ...]
    class_tables: tuple[ClassTable, ...]
    settings: Settings
    runs: tuple[CollectedRun, ...]
    rows: Mapping[pathlib.Path, str]
    seeds: tuple[int, ...]
    planned: int


@dataclass(frozen=True)
class Report:
    """Every benchmark of a collection; `problems` says what was left out, and why."""

    benchmarks: tuple[Benchmark, ...]
    problems: tuple[str, ...]


@dataclass(frozen=True)
class _Planned:
    """What a sweep planned in a task, by method and the domain singled out: the seeds, complete or not."""

    seeds: Mapping[tuple[Method, str], frozenset[int]]
    missing: int


def make_report(collection: Collection, metrics: Sequence[str] = DEFAULT_METRICS) -> Report:
    """Groups runs by task and makes the tables.

    Args:
      collection: what `collect` found.
      metrics: keys of `METRICS`, in the order of the tables; one that no run measured gives no table.
    """
    problems = list(collection.problems)
    tasks: dict[Task, dict[tuple[Method, str, int], CollectedRun]] = {}
    for run in collection.runs:
        of_task = tasks.setdefault(task_of(run), {})
        first = of_task.setdefault((method_of(run), run.domain, run.seed), run)
        if first is not run:
            problems.append(f"{run.path} repeats {first.path} (same settings, domain and seed): left out.")
    complete = {run.path: (task, method) for task, runs in tasks.items() for (method, _, _), run in runs.items()}
    planned, unplaced = _placed_cells(collection.cells, complete)
    problems += unplaced
    protocols = list(names.PROTOCOLS)
    ordered = sorted(
        tasks, key=lambda t: (t.dataset, protocols.index(t.protocol), t.selection == "oracle", t.selection, repr(t))
    )
    return Report(
        tuple(
            _benchmark(task, tasks[task], planned.get(task, _Planned({}, 0)), list(tasks), metrics) for task in ordered
        ),
        tuple(problems),
    )


def task_of(run: CollectedRun) -> Task:
    """What the run is a measurement of."""
    # Trained within one domain, a run does not know which others there are.
    domains = () if run.protocol == "in_domain" else tuple(sorted({*run.train_domains, *run.held_out_domains}))
    settings = tuple((name, run.config[name]) for name in TASK_SETTINGS if name in run.config)
    return Task(run.dataset, run.protocol, run.selection, run.class_names, domains, settings)


def method_of(run: CollectedRun) -> Method:
    """The run's row: its algorithm, its guidance and every setting that can change a result."""
    settings = tuple((name, value) for name, value in run.config.items() if name not in NOT_COMPARED)
    return Method(run.algorithm, run.guidance, settings)


def method_titles(methods: Sequence[Method]) -> dict[Method, str]:
    """Distinct names, in the order of the rows: ERM first, ALIGN last.

    Settings are part of a name where methods of one algorithm and guidance differ in them.
    """
    order = {"erm": 0, "align": 2}
    titles: dict[Method, str] = {}
    for method in sorted(methods, key=lambda m: (order.get(m.algorithm, 1), m.algorithm, m.guidance, m.settings)):
        alike = [m for m in methods if (m.algorithm, m.guidance) == (method.algorithm, method.guidance)]
        different = dict(method.settings) if method.guidance == NEVER_RUN else _differing(alike)
        own = dict(method.settings)
        title = ", ".join([_title(method, methods), *(f"{name} = {own[name]}" for name in different if name in own)])
        # Text from files can make two names alike that stand for different things.
        count = list(titles.values()).count(title)
        while title in titles.values():
            count += 1
            title = f"{title} ({count})"
        titles[method] = title
    return titles


def _title(method: Method, methods: Sequence[Method]) -> str:
    title = names.method_name({"algorithm": method.algorithm, "guidance": method.guidance})
    algorithms = {m.algorithm for m in methods if names.method_name({"algorithm": m.algorithm}) == title}
    if len(algorithms) > 1:
        return f"{method.algorithm} ({method.guidance})"
    unguided = method.guidance == "none" and method.algorithm != "erm"
    guided = any(m.algorithm == method.algorithm and m.guidance in ("learned", "true") for m in methods)
    return f"{title}, no guidance" if unguided and guided else title


def cell_over_seeds(by_seed: Mapping[int, float], planned: int = 0) -> Cell:
    """Mean and standard error over seeds; missing where there are none."""
    seeds = len(by_seed)
    planned = planned if planned > seeds else 0
    if not seeds:
        return Cell(planned=planned)
    mean = math.fsum(by_seed.values()) / seeds
    error = None
    if seeds > 1:
        variance = math.fsum((value - mean) ** 2 for value in by_seed.values()) / (seeds - 1)
        error = math.sqrt(variance / seeds)
    return Cell(mean, error, seeds, planned)


def average_cell(parts: Sequence[Mapping[int, float]]) -> Cell:
    """The unweighted mean of several cells; missing unless every one of them is there.

    Where all have the same seeds the error is that of the seeds' averages, which keeps what their cells share; else
    the mean of the cells' means stands without one.
    """
    if not parts or not all(parts):
        return Cell()
    seeds = set(parts[0])
    if all(set(part) == seeds for part in parts):
        return cell_over_seeds({seed: math.fsum(part[seed] for part in parts) / len(parts) for seed in sorted(seeds)})
    means = [math.fsum(part.values()) / len(part) for part in parts]
    return Cell(math.fsum(means) / len(means))


def marked(metric: Metric, cells: Sequence[Cell]) -> list[Cell]:
    """Marks the best cell and those that differ from it by at most one standard error of the difference.

    That error is sqrt(a^2 + b^2) for two cells with the errors a and b. What is printed alike is alike. Nothing is
    marked where every cell would be, as then nothing stands out, nor where a cell has no error: by how much it would
    have to be better, to be better, is not known.
    """
    present = [cell for cell in cells if cell.value is not None]
    if metric.better == "neither" or len(present) < 2 or any(cell.error is None for cell in present):
        return list(cells)
    best = (max if metric.better == "higher" else min)(present, key=lambda cell: cell.value or 0.0)

    def close(cell: Cell) -> bool:
        if cell.value is None or best.value is None:
            return False
        within = abs(cell.value - best.value) <= math.hypot(cell.error or 0.0, best.error or 0.0)
        return within or metric.text(cell.value) == metric.text(best.value)

    if all(close(cell) for cell in present):
        return list(cells)
    return [replace(cell, best=close(cell)) for cell in cells]


def _placed_cells(
    cells: Sequence[SweepCell], complete: Mapping[pathlib.Path, tuple[Task, Method]]
) -> tuple[dict[Task, _Planned], list[str]]:
    """Puts each planned run where the complete runs of its sweep say that it belongs."""
    seeds: dict[Task, dict[tuple[Method, str], set[int]]] = {}
    missing: dict[Task, int] = {}
    unplaced: list[str] = []
    for cell in cells:
        place = complete.get(cell.path) or _place(
            cell, [(c, *complete[c.path]) for c in cells if c.sweep == cell.sweep and c.path in complete]
        )
        if place is None:
            unplaced.append(
                f"{cell.path} is planned and not complete, and no complete run of its sweep says what it would stand "
                "beside: in no table."
            )
            continue
        task, method = place
        missing[task] = missing.get(task, 0) + (cell.path not in complete)
        seeds.setdefault(task, {}).setdefault((method, cell.domain), set()).add(cell.seed)
    frozen = {task: {key: frozenset(of_key) for key, of_key in by_key.items()} for task, by_key in seeds.items()}
    return {task: _Planned(by_key, missing[task]) for task, by_key in frozen.items()}, unplaced


def _place(cell: SweepCell, siblings: Sequence[tuple[SweepCell, Task, Method]]) -> tuple[Task, Method] | None:
    """Where a run of the same method and overrides lies; else, a row of its own in the only task it can belong to."""

    def task_overrides(of: SweepCell) -> list[tuple[str, str]]:
        return [(name, value) for name, value in of.overrides if name in SAYS_THE_TASK]

    alike = [(other, task, method) for other, task, method in siblings if task_overrides(other) == task_overrides(cell)]
    same = [place for place in alike if place[0].overrides == cell.overrides]
    tasks = {task for _, task, _ in same or alike}
    if len(tasks) != 1:
        return None
    (task,) = tasks
    methods = {method for other, _, method in same if other.method == cell.method}
    return task, methods.pop() if len(methods) == 1 else Method(cell.method, NEVER_RUN, cell.overrides)


def _benchmark(
    task: Task,
    runs: Mapping[tuple[Method, str, int], CollectedRun],
    planned: _Planned,
    tasks: Sequence[Task],
    metrics: Sequence[str],
) -> Benchmark:
    titles = method_titles(list(dict.fromkeys([m for m, _, _ in runs] + [m for m, _ in planned.seeds])))
    roles = names.in_role_order([result.role for run in runs.values() for result in run.results])
    first = "id" if task.protocol == "in_domain" else "ood"
    roles = sorted((role for role in roles if role != "validation"), key=lambda role: role != first)
    tables = []
    for role in roles:
        for key in metrics:
            if key != "validation_accuracy":
                tables.append(_table(task, METRICS[key], role, _measurements(runs, role, key), titles, planned))
    if "validation_accuracy" in metrics:
        values: dict[tuple[Method, str, str], dict[int, float]] = {}
        for (method, domain, seed), run in runs.items():
            if run.validation_accuracy is not None:
                values.setdefault((method, domain, domain), {})[seed] = run.validation_accuracy
        tables.append(_table(task, METRICS["validation_accuracy"], "validation", values, titles, planned))
    class_tables = [_class_table(task, role, runs, titles) for role in roles]
    return Benchmark(
        title=_task_title(task, tasks),
        task=task,
        selection=names.selection_meaning(task.selection),
        is_oracle=task.selection == "oracle",
        notes=_notes(task, tasks, titles),
        tables=tuple(table for table in tables if table is not None),
        class_tables=tuple(table for table in class_tables if table is not None),
        settings=_settings(titles, task),
        runs=tuple(runs.values()),
        rows={run.path: titles[method] for (method, _, _), run in runs.items()},
        seeds=tuple(sorted({seed for _, _, seed in runs})),
        planned=len(runs) + planned.missing,
    )


_Values = Mapping[tuple[Method, str, str], Mapping[int, float]]
"""By method, the domain that the protocol singles out, and the domain tested: a value for each seed."""


def _measurements(runs: Mapping[tuple[Method, str, int], CollectedRun], role: str, key: str) -> _Values:
    values: dict[tuple[Method, str, str], dict[int, float]] = {}
    for (method, domain, seed), run in runs.items():
        for result in run.results:
            if result.role == role and key in result.values:
                values.setdefault((method, domain, result.domain), {})[seed] = result.values[key]
    return values


def _table(
    task: Task, metric: Metric, role: str, values: _Values, titles: Mapping[Method, str], planned: _Planned
) -> BenchmarkTable | None:
    if not values:
        return None
    # A method to which the metric does not apply (ERM has no mask) is not missing.
    has_value = {method for method, _, _ in values}
    methods = [method for method in titles if method in has_value or method.guidance == NEVER_RUN]
    grouped = any(singled != tested for _, singled, tested in values)
    singled_out = sorted({domain for _, domain, _ in values} | {domain for _, domain in planned.seeds})
    columns = {tested for _, _, tested in values} | (set() if grouped else set(singled_out))
    others = []
    if not grouped and role == ("id" if task.protocol == "in_domain" else "ood") and task.selection != "oracle":
        others = published_results(task.dataset, task.protocol, metric.key, len(task.class_names))
        # An average beside a published one is over the same domains, or is missing.
        columns |= {domain for row in others for domain in row.values}
    ordered = tuple(sorted(columns))

    def by_seed(method: Method, singled: str, tested: str) -> Mapping[int, float]:
        return values.get((method, singled, tested), {})

    def cell(method: Method, singled: str, tested: str) -> Cell:
        of_cell = by_seed(method, singled, tested)
        if grouped and singled == tested and not of_cell:
            return Cell(blank=True)
        return cell_over_seeds(of_cell, len(planned.seeds.get((method, singled), ())))

    groups = []
    if grouped:
        for singled in singled_out:
            tested = [domain for domain in ordered if domain != singled]
            rows = [
                Row(
                    titles[method],
                    tuple(cell(method, singled, column) for column in ordered),
                    average_cell([by_seed(method, singled, domain) for domain in tested]),
                )
                for method in methods
            ]
            groups.append(Group(_group_title(task, singled), tuple(rows)))
        if len(singled_out) > 1:
            rows = [
                Row(
                    titles[method],
                    tuple(
                        average_cell([by_seed(method, s, column) for s in singled_out if s != column])
                        for column in ordered
                    ),
                    average_cell([by_seed(method, s, t) for s in singled_out for t in ordered if s != t]),
                )
                for method in methods
            ]
            groups.append(Group(f"Mean of the {len(singled_out)} above", tuple(rows)))
    else:
        rows = [
            Row(
                titles[method],
                tuple(cell(method, column, column) for column in ordered),
                average_cell([by_seed(method, column, column) for column in ordered]),
            )
            for method in methods
        ]
        groups.append(Group("", tuple(rows)))
    # The average of one column would say it twice.
    groups = [_marked_group(metric, group, with_average=len(ordered) > 1) for group in groups]
    counts = collections.Counter(c.seeds for group in groups for row in group.rows for c in row.cells if c.seeds)
    # Of counts that are equally frequent, the larger.
    usual_seeds = max(counts, key=lambda seeds: (counts[seeds], seeds))
    published = tuple(_published_row(row, metric, ordered) for row in others)
    return BenchmarkTable(
        metric=metric,
        role=role,
        title=f"{metric.title}, {names.role_title(role).lower()}",
        columns=ordered,
        groups=tuple(groups),
        published=published,
        usual_seeds=usual_seeds,
        caption=(
            *_caption(task, metric, role, others, published),
            *([f"A cell that does not say otherwise is over {_seeds(usual_seeds)}."] if len(counts) > 1 else []),
        ),
    )


def _marked_group(metric: Metric, group: Group, with_average: bool) -> Group:
    columns = zip(*(row.cells for row in group.rows), strict=True)
    by_column = [marked(metric, column) for column in columns]
    averages = marked(metric, [row.average for row in group.rows]) if with_average else [Cell()] * len(group.rows)
    return Group(
        group.title,
        tuple(
            replace(row, cells=tuple(column[i] for column in by_column), average=averages[i])
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


def _group_title(task: Task, singled: str) -> str:
    return f"Held out: {singled}" if task.protocol == "leave_one_out" else f"Trained on {singled}"


def _class_table(
    task: Task,
    role: str,
    runs: Mapping[tuple[Method, str, int], CollectedRun],
    titles: Mapping[Method, str],
) -> ClassTable | None:
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
                        names.ACCURACY,
                        [average_cell([means.get((m, d, name), {}) for d in having[name]]) for m in methods],
                    )
                ),
                Cell(),
            )
            for name in task.class_names
        )

    of_one = {"in_domain": "{}", "leave_one_out": "Held out: {}", "single_source": "Trained on {}"}[task.protocol]
    groups = [Group(of_one.format(domain), rows([domain])) for domain in domains]
    if len(domains) > 1:
        groups.insert(0, Group(f"Mean of the {len(domains)} below", rows(domains)))
    return ClassTable(
        role=role,
        title=f"Accuracy by class, {names.role_title(role).lower()}",
        columns=tuple(titles[method] for method in methods),
        groups=tuple(groups),
        caption=(
            "Accuracy in percent on the images of each class, mean over the tested domains; a class without images in "
            "a test is no part of its mean. Bold as in the other tables, along each row.",
        ),
    )


def _settings(titles: Mapping[Method, str], task: Task) -> Settings:
    methods = [method for method in titles if method.guidance != NEVER_RUN]
    differing = _differing(methods)
    of_method = [dict(method.settings) for method in methods]
    shared = {name: value for name, value in of_method[0].items() if name not in differing} | dict(task.settings)
    return Settings(
        shared=dict(sorted(shared.items())),
        differing={name: tuple(s.get(name, names.MISSING) for s in of_method) for name in differing},
        methods=tuple(titles[method] for method in methods),
    )


def _differing(methods: Sequence[Method]) -> list[str]:
    """Settings in which methods differ, or which only some of them have."""
    of_method = [dict(method.settings) for method in methods]
    every = sorted({name for settings in of_method for name in settings})
    return [name for name in every if len({settings.get(name) for settings in of_method}) > 1]


def _task_title(task: Task, tasks: Sequence[Task]) -> str:
    title = f"{DATASET_TITLES.get(task.dataset, task.dataset)}, {PROTOCOL_TITLES[task.protocol]}"
    oracle = ["ORACLE selection"] if task.selection == "oracle" else []
    different = [text for name, text in _distinction(task, tasks).items() if name != "selection rule" or not oracle]
    return ", ".join([title, *oracle, *different])


def _distinction(task: Task, tasks: Sequence[Task]) -> dict[str, str]:
    """In what a task differs from others of its data set and protocol: what, and its own value in words."""
    alike = [other for other in tasks if (other.dataset, other.protocol) == (task.dataset, task.protocol)]
    distinction = {}
    if len({other.selection for other in alike}) > 1:
        distinction["selection rule"] = SELECTION_TITLES.get(task.selection, task.selection)
    if len({other.class_names for other in alike}) > 1:
        distinction["class names"] = f"{len(task.class_names)} classes from {task.class_names[0]}"
    if len({other.domains for other in alike}) > 1:
        distinction["domains"] = (
            f"{len(task.domains)} domains from {task.domains[0] if task.domains else names.MISSING}"
        )
    own = dict(task.settings)
    for name in TASK_SETTINGS:
        if len({dict(other.settings).get(name) for other in alike}) > 1:
            distinction[name] = f"{name} = {own.get(name, names.MISSING)}"
    return distinction


def _notes(task: Task, tasks: Sequence[Task], titles: Mapping[Method, str]) -> tuple[str, ...]:
    notes = []
    if differences := _distinction(task, tasks):
        notes.append(
            f"Other runs of this data set and protocol differ from these in {_listed(list(differences))}; they measure "
            "something else, are never averaged with these, and have tables of their own."
        )
    sizes = {dict(method.settings).get("data.image_size") for method in titles if method.guidance != NEVER_RUN}
    if len(sizes) > 1:
        notes.append("The rows differ in data.image_size; runs at different sizes are never averaged.")
    return tuple(notes)


def _caption(
    task: Task, metric: Metric, role: str, others: Sequence[Published], published: Sequence[Row]
) -> tuple[str, ...]:
    unit = " in percent" if metric.unit else ""
    better = f", {metric.better} is better" if metric.better != "neither" else ""
    meaning = ROLE_MEANINGS.get((task.protocol, role)) or names.role_meaning(role, task.dataset)
    caption = [f"{metric.title}{unit}{better}. {meaning}".strip()]
    for source in dict.fromkeys(row.source for row in others):
        caption.append(f"{source.name}: {source.reference}; {source.protocol}.")
    if any(not row.average and ours.average.value is not None for row, ours in zip(others, published, strict=True)):
        caption.append("Averages of published rows whose source gives none are computed from their columns.")
    caption += [f"Note: {note}." for note in dict.fromkeys(row.note for row in others if row.note)]
    return tuple(caption)


def legend(tables: Sequence[BenchmarkTable]) -> list[str]:
    """How to read the tables, in sentences: what ±, bold, brackets and dashes stand for, as far as they occur."""
    rows = [row for table in tables for group in table.groups for row in group.rows]
    cells = [cell for row in rows for cell in row.cells]
    if not any(cell.seeds for cell in cells):
        return []
    sentences = []
    if any(cell.error is not None for cell in cells):
        sentences.append("Mean ± standard error over seeds (sd / √n).")
        if any(cell.seeds == 1 for cell in cells):
            sentences.append("A cell without ± is one seed.")
    else:
        sentences.append(
            "One seed a cell: no standard error can be given, any difference may be chance, nothing is in bold."
        )
    if any(row.average.value is not None and not row.average.seeds for row in rows):
        sentences.append("An average without ± is over cells whose seeds differ.")
    if any(cell.best for row in rows for cell in (*row.cells, row.average)):
        sentences.append(
            "Bold: the best of our rows in a column, and those that differ from it by no more than one standard error "
            "of the difference, √(a² + b²); none where that is every row, or where one of them has no ±."
        )
    if any(cell.planned for cell in cells):
        sentences.append("(2/3): two runs are complete of three that the sweep planned.")
    if any(cell.value is None and not cell.blank for cell in cells):
        sentences.append(f"{names.MISSING}: not run or not complete; the row then has no average.")
    if any(table.published for table in tables):
        sentences.append("Published rows are other people's numbers, as printed; bold does not compare them with ours.")
    return sentences


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
