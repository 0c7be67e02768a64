"""What is said beside the numbers: a benchmark's title and notes, a table's caption, and how to read the tables."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from typing import Literal

from align_jax.data.load import find_dataset
from align_jax.reporting import names
from align_jax.reporting.columns import Metric
from align_jax.reporting.many_runs.cells import Cell
from align_jax.reporting.many_runs.published import Published
from align_jax.reporting.many_runs.tables import BenchmarkTable, Row
from align_jax.reporting.many_runs.tasks import NEVER_RUN, TASK_SETTINGS, Method, Task

SELECTION_TITLES = {"training_domain_validation": "training-domain validation", "last": "last step"}
PROTOCOL_TITLES = {"in_domain": "in domain", "single_source": "single source", "leave_one_out": "leave one out"}

ROLE_MEANINGS = {
    ("in_domain", "id"): "Each column: trained, selected and tested on parts of that one domain.",
    ("leave_one_out", "ood"): "Each column: trained on the other domains, tested on the whole of that one.",
    ("single_source", "ood"): "Trained on one domain, tested on the whole of each other one.",
}

CLASS_CAPTION = (
    "Accuracy in percent on the images of each class, mean over the tested domains; a class without images in "
    "a test is no part of its mean. Bold as in the other tables, along each row."
)


def task_title(task: Task, tasks: Sequence[Task]) -> str:
    """A title that no other task of a report has."""
    title = f"{names.shortened(names.dataset_title(task.dataset))}, {PROTOCOL_TITLES[task.protocol]}"
    oracle = ["ORACLE selection"] if task.selection == "oracle" else []
    different = [text for name, text in _distinction(task, tasks).items() if name != "selection rule" or not oracle]
    return ", ".join([title, *oracle, *different])


def notes(task: Task, tasks: Sequence[Task], titles: Mapping[Method, str]) -> tuple[str, ...]:
    """Warnings before the tables: what they cannot be compared with, and in what their rows are unequal."""
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


def domain_caption(
    task: Task, metric: Metric, role: str, others: Sequence[Published], published: Sequence[Row]
) -> tuple[str, ...]:
    """What a table by domains measures, and where its published rows (`others`; as rows, `published`) come from."""
    unit = " in percent" if metric.unit else ""
    better = f", {metric.better} is better" if metric.better != "neither" else ""
    meaning = "" if find_dataset(task.dataset).own_splits else ROLE_MEANINGS.get((task.protocol, role), "")
    meaning = meaning or names.role_meaning(role, task.dataset, task.selection)
    caption = [f"{metric.title}{unit}{better}. {meaning}".strip()]
    for source in dict.fromkeys(row.source for row in others):
        caption.append(f"{source.name}: {source.reference}; {source.protocol}.")
    if others and (different := _other_counts(task)):
        caption.append(f"Published rows are of another copy of the data: {'; '.join(different)}.")
    if any(not row.average and ours.average.value is not None for row, ours in zip(others, published, strict=True)):
        caption.append("Averages of published rows whose source gives none are computed from their columns.")
    caption += [f"Note: {note}." for note in dict.fromkeys(row.note for row in others if row.note)]
    return tuple(caption)


def usual_seeds(usual: int, counts: Sized) -> list[str]:
    """Says over how many seeds most cells are, where there are several `counts` of seeds."""
    return [f"A cell that does not say otherwise is over {_seeds(usual)}."] if len(counts) > 1 else []


def bold_without_error(metric: Metric, lines: Sequence[Sequence[Cell]], line: Literal["column", "row"]) -> list[str]:
    """What bold is worth where one of the compared cells has no standard error.

    Args:
      metric: what the cells are values of.
      lines: the cells that bold compares, a column or a row of the table each.
      line: which of the two.

    Returns:
      A sentence; or none, where no bold compares such cells.
    """
    if not any(_best_without_error(cells) for cells in lines):
        return []
    best = "smallest" if metric.better == "lower" else "largest"
    return [
        f"A cell without ±, as over a single seed, is compared as a bare number: bold in its {line} is only the {best} "
        "one, no evidence that one method is better than another."
    ]


def group_title(task: Task, singled: str) -> str:
    """What the domain that the protocol singles out is to the rows of its group."""
    return f"Held out: {singled}" if task.protocol == "leave_one_out" else f"Trained on {singled}"


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
        sentences.append("One seed a cell: no standard error can be given, any difference may be chance.")
    if any(row.average.value is not None and not row.average.seeds for row in rows):
        sentences.append("An average without ± is over cells whose seeds differ.")
    if any(cell.best for row in rows for cell in (*row.cells, row.average)):
        sentences.append(
            "Bold: the best of our rows in a column, and those that differ from it by no more than one standard error "
            "of the difference, √(a² + b²); none where that is every row."
            if any(cell.error is not None for cell in cells)
            else "Bold: the best of our rows in a column; none where all are alike."
        )
    if any(cell.planned for cell in cells):
        sentences.append(
            "(2/3): two runs of three; the others are planned and not complete, or their number is not finite."
        )
    if any(cell.value is None and not cell.blank for cell in cells):
        sentences.append(f"{names.MISSING}: not run or not complete, or no finite number; the row then has no average.")
    if any(table.published for table in tables):
        sentences.append("Published rows are other people's numbers, as printed; bold does not compare them with ours.")
    return sentences


def _distinction(task: Task, tasks: Sequence[Task]) -> dict[str, str]:
    """In what a task differs from others of its data set and protocol: what, and its own value in words."""
    alike = [other for other in tasks if (other.dataset, other.protocol) == (task.dataset, task.protocol)]
    distinction = {}
    if len({other.selection for other in alike}) > 1:
        distinction["selection rule"] = SELECTION_TITLES.get(task.selection, names.shortened(task.selection))
    if len({other.class_names for other in alike}) > 1:
        distinction["class names"] = f"{len(task.class_names)} classes from {names.shortened(task.class_names[0])}"
    if len({other.domains for other in alike}) > 1:
        distinction["domains"] = (
            f"{len(task.domains)} domains from {names.shortened(task.domains[0]) if task.domains else names.MISSING}"
        )
    if counts := _contradicted(task, alike):
        distinction["numbers of examples"] = ", ".join(counts)
    own = dict(task.settings)
    for name in TASK_SETTINGS:
        if len({dict(other.settings).get(name) for other in alike}) > 1:
            distinction[name] = f"{name} = {names.shortened(own.get(name, names.MISSING))}"
    return distinction


def _contradicted(task: Task, tasks: Sequence[Task]) -> list[str]:
    """Some numbers of examples that another version of the same data set gives otherwise, as the task gives them.

    What is trained on is said only where no test tells the versions apart.
    """
    others = [dict(o.examples) for o in tasks if replace(o, examples=()) == replace(task, examples=())]
    different = [(test, n) for test, n in task.examples if any(o.get(test, n) != n for o in others)]
    tests = [(test, n) for test, n in different if test[1]] or different
    return [
        f"{n:,} examples of {names.shortened(domain)} ({names.shortened(split or role)})"
        for (domain, role, split), n in tests[:3]
    ]


def _other_counts(task: Task) -> list[str]:
    """Held-out domains, which are tested whole, of which the published data set has another number of images."""
    published = find_dataset(task.dataset).published_examples
    return [
        f"it has {published[domain]:,} images of {domain}, the one tested here {n:,}"
        for (domain, role, _), n in task.examples
        if role == "ood" and published.get(domain, n) != n
    ]


def _best_without_error(cells: Sequence[Cell]) -> bool:
    missing = any(cell.value is not None and cell.error is None for cell in cells)
    return missing and any(cell.best for cell in cells)


def _seeds(count: int) -> str:
    return "one seed" if count == 1 else f"{count} seeds"


def _listed(items: Sequence[str]) -> str:
    return items[0] if len(items) == 1 else f"{', '.join(items[:-1])} and {items[-1]}"
