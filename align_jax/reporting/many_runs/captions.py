"""What is said beside the numbers: a task's title and notes, a table's caption, and how to read the tables."""

from collections.abc import Mapping, Sequence, Sized
from dataclasses import replace
from typing import Literal

from align_jax.data.load import find_dataset
from align_jax.reporting import names
from align_jax.reporting.columns import FLIPS, GAP, Metric
from align_jax.reporting.many_runs.over_seeds import SeedMean
from align_jax.reporting.many_runs.published import Published
from align_jax.reporting.many_runs.tasks import NEVER_RUN, TASK_SETTINGS, Setup, Task
from align_jax.tables.table import MISSING, shortened

SELECTION_TITLES = {"training_domain_validation": "training-domain validation", "last": "last step"}

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
    protocol = names.PROTOCOLS[task.protocol].partition(":")[0]
    title = [shortened(names.dataset_title(task.dataset)), protocol]
    different = _distinction(task, tasks)
    if task.selection == "oracle":
        title.append("ORACLE selection")
        different.pop("selection rule", None)
    return ", ".join([*title, *different.values()])


def notes(task: Task, tasks: Sequence[Task], titles: Mapping[Setup, str]) -> tuple[str, ...]:
    """Warnings before the tables: which tables cannot be compared with them, and how their rows are unequal."""
    notes = []
    if differences := _distinction(task, tasks):
        notes.append(
            f"Other runs of this data set and protocol differ from these in {names.listed(list(differences))}; "
            "they measure something else, are never averaged with these, and have tables of their own."
        )
    sizes = {dict(setup.settings).get("data.image_size") for setup in titles if setup.guidance != NEVER_RUN}
    if len(sizes) > 1:
        notes.append("The rows differ in data.image_size; runs at different sizes are never averaged.")
    return tuple(notes)


def domain_caption(
    task: Task, metric: Metric, role: str, published: Sequence[Published], computed: bool
) -> tuple[str, ...]:
    """What a table by domains measures, and where its published rows come from.

    `computed` says that some of their averages are computed here.
    """
    unit = " in percent" if metric.unit else ""
    better = f", {metric.better} is better" if metric.better != "neither" else ""
    meaning = "" if find_dataset(task.dataset).own_splits else ROLE_MEANINGS.get((task.protocol, role), "")
    meaning = meaning or names.role_meaning(role, task.dataset, task.selection)
    caption = [f"{metric.title}{unit}{better}. {meaning}".strip()]
    caption += [names.GAP_AND_FLIPS] if metric in (GAP, FLIPS) else []
    for source in dict.fromkeys(row.source for row in published):
        caption.append(f"{source.name}: {source.reference}; {source.protocol}.")
    # A held-out domain is tested whole, so that its number of images tells one copy of the data from another.
    of_copy = find_dataset(task.dataset).published_examples
    different = [
        f"it has {of_copy[domain]:,} images of {domain}, the one tested here {n:,}"
        for (domain, tested_as, _), n in task.examples
        if tested_as == "ood" and of_copy.get(domain, n) != n
    ]
    if published and different:
        caption.append(f"Published rows are of another copy of the data: {'; '.join(different)}.")
    if computed:
        caption.append("Averages of published rows whose source gives none are computed from their columns.")
    caption += [f"Note: {note}." for note in dict.fromkeys(row.note for row in published if row.note)]
    return tuple(caption)


def usual_seeds(usual: int, counts: Sized) -> list[str]:
    """Says how many seeds a cell has unless it says otherwise; nothing where all cells have the same number."""
    seeds = "one seed" if usual == 1 else f"{usual} seeds"
    return [f"A cell that does not say otherwise is over {seeds}."] if len(counts) > 1 else []


def bold_without_error(
    metric: Metric, lines: Sequence[Sequence[SeedMean]], line: Literal["column", "row"]
) -> list[str]:
    """How little bold says in a column or a row with a mean that has no standard error; else nothing."""
    unknown = [means for means in lines if any(mean.value is not None and mean.error is None for mean in means)]
    if not any(mean.best for means in unknown for mean in means):
        return []
    best = "smallest" if metric.better == "lower" else "largest"
    return [
        f"A cell without ±, as over a single seed, is compared as a bare number: bold in its {line} is only the {best} "
        "one, no evidence that one method is better than another."
    ]


def group_title(task: Task, singled: str) -> str:
    """The title of the group of a domain that the protocol singles out."""
    return f"Held out: {singled}" if task.protocol == "leave_one_out" else f"Trained on {singled}"


def _distinction(task: Task, tasks: Sequence[Task]) -> dict[str, str]:
    """What differs between a task and others of its data set and protocol, with the task's own value in words."""
    alike = [other for other in tasks if (other.dataset, other.protocol) == (task.dataset, task.protocol)]
    distinction = {}
    if len({other.selection for other in alike}) > 1:
        distinction["selection rule"] = SELECTION_TITLES.get(task.selection, shortened(task.selection))
    if len({other.class_names for other in alike}) > 1:
        distinction["class names"] = f"{len(task.class_names)} classes from {shortened(task.class_names[0])}"
    if len({other.domains for other in alike}) > 1:
        distinction["domains"] = (
            f"{len(task.domains)} domains from {shortened(task.domains[0]) if task.domains else MISSING}"
        )
    if counts := _contradicted(task, alike):
        distinction["numbers of examples"] = ", ".join(counts)
    own = dict(task.settings)
    for name in TASK_SETTINGS:
        if len({dict(other.settings).get(name) for other in alike}) > 1:
            distinction[name] = f"{name} = {shortened(own.get(name, MISSING))}"
    return distinction


def _contradicted(task: Task, tasks: Sequence[Task]) -> list[str]:
    """Some numbers of examples that another version of the same data set gives otherwise, as the task gives them.

    What is trained on is said only where no test tells the versions apart.
    """
    others = [dict(o.examples) for o in tasks if replace(o, examples=()) == replace(task, examples=())]
    different = [(test, n) for test, n in task.examples if any(o.get(test, n) != n for o in others)]
    tests = [(test, n) for test, n in different if test[1]] or different
    return [
        f"{n:,} examples of {shortened(domain)} ({shortened(split or role)})" for (domain, role, split), n in tests[:3]
    ]
