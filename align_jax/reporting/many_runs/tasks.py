"""Which runs may be averaged: those of one task and one setup, which differ in nothing but their seed.

What makes a test another one (data set, protocol, selection rule, classes, splits) makes another `Task`, and tables of
its own; any other setting that can change a number makes another `Setup`, and a row of its own.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

from align_jax.reporting import names
from align_jax.reporting.many_runs.data_versions import Examples
from align_jax.runs.folder import FREE_TO_CHANGE
from align_jax.runs.read import Run

# Settings that say what is tested: runs that differ in them are not in one table.
TASK_SETTINGS = (
    *("data.folder", "data.split_seed", "data.stratified", "data.correlation", "data.fold", "data.class_set"),
)
SAYS_THE_TASK = (*TASK_SETTINGS, "data.name", "data.protocol", "selection")
# Settings that the summary repeats, or that change nothing in the numbers.
NOT_COMPARED = {
    *FREE_TO_CHANGE,
    *SAYS_THE_TASK,
    *("algorithm", "guidance", "seed", "data.domain"),
    *("checkpoint_every", "log_every", "evaluation.gallery_images"),
}


@dataclass(frozen=True)
class Task:
    """What is trained on and tested, and how the checkpoint was chosen; one set of tables each.

    Attributes:
      domains: all that the runs know of; none where each knows only its own.
      examples: how many there are, which tells two versions of a data set apart.
    """

    dataset: str
    protocol: str
    selection: str
    class_names: tuple[str, ...]
    domains: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    examples: Examples = ()


class Setup(NamedTuple):
    """What has a row: `settings` are all that can change a result."""

    algorithm: str
    guidance: str
    settings: tuple[tuple[str, str], ...]


# The guidance of a setup of which a sweep planned runs, and none is complete.
NEVER_RUN = "(never run)"


def task_of(run: Run) -> Task:
    """What the run is a measurement of, but for the version of the data: see `data_versions`."""
    # Trained within one domain, a run does not know which others there are.
    domains = () if run.protocol == "in_domain" else tuple(sorted({*run.train_domains, *run.held_out_domains}))
    settings = tuple((name, run.config[name]) for name in TASK_SETTINGS if name in run.config)
    return Task(run.dataset, run.protocol, run.selection, run.class_names, domains, settings)


def setup_of(run: Run) -> Setup:
    """The run's row: its algorithm, its guidance and every setting that can change a result."""
    settings = tuple((name, value) for name, value in run.config.items() if name not in NOT_COMPARED)
    return Setup(run.algorithm, run.guidance, settings)


def row_titles(setups: Sequence[Setup]) -> dict[Setup, str]:
    """Distinct names, in the order of the rows: ERM first, ALIGN last.

    Settings are part of a name where setups of one algorithm and guidance differ in them.
    """
    order = {"erm": 0, "align": 2}
    titles: dict[Setup, str] = {}
    for setup in sorted(setups, key=lambda s: (order.get(s.algorithm, 1), s.algorithm, s.guidance, s.settings)):
        alike = [s for s in setups if (s.algorithm, s.guidance) == (setup.algorithm, setup.guidance)]
        different = dict(setup.settings) if setup.guidance == NEVER_RUN else differing_settings(alike)
        own = dict(setup.settings)
        title = ", ".join([_title(setup, setups), *(f"{name} = {own[name]}" for name in different if name in own)])
        # Text from files can make two names alike that stand for different things.
        count = list(titles.values()).count(title)
        while title in titles.values():
            count += 1
            title = f"{title} ({count})"
        titles[setup] = title
    return titles


def differing_settings(setups: Sequence[Setup]) -> list[str]:
    """Settings in which setups differ, or which only some of them have."""
    of_setup = [dict(setup.settings) for setup in setups]
    every = sorted({name for settings in of_setup for name in settings})
    return [name for name in every if len({settings.get(name) for settings in of_setup}) > 1]


def _title(setup: Setup, setups: Sequence[Setup]) -> str:
    plain = names.method_name(setup.algorithm)
    algorithms = {s.algorithm for s in setups if names.method_name(s.algorithm) == plain}
    if len(algorithms) > 1:
        return f"{setup.algorithm} ({setup.guidance})"
    if setup.guidance == NEVER_RUN:
        return plain
    return names.method_name(setup.algorithm, setup.guidance)
