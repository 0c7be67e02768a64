"""Which runs may be averaged: those of one task and one setup, which differ in nothing but their seed.

What makes a test another one (data set, protocol, selection rule, classes, splits) makes another `Task`, and tables of
its own; any other setting that can change a number makes another `Setup`, and a row of its own.
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

from align_jax.configuration import default_config
from align_jax.reporting import names
from align_jax.runs.folder import FREE_TO_CHANGE
from align_jax.runs.read import Run, flat, setting_text

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
    "evaluation.gallery_images",
}

Examples = tuple[tuple[tuple[str, str, str], int], ...]
"""Numbers of examples, by domain, role and split."""


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


Runs = Mapping[tuple[Setup, str, int], Run]
"""The runs of a task, by setup, domain singled out and seed."""

# Stands for the guidance of a setup without a complete run, which nobody knows.
NEVER_RUN = "(never run)"


def by_task(runs: Sequence[Run]) -> dict[Task, list[Run]]:
    """The runs of each task. One name of a data set can stand for several versions of it, which are several tasks."""
    alike: dict[Task, list[Run]] = {}
    for run in _with_comparable_settings(runs):
        alike.setdefault(task_of(run), []).append(run)
    return {
        replace(task, examples=examples): of_version
        for task, of_task in alike.items()
        for examples, of_version in _data_versions(of_task)
    }


def task_of(run: Run) -> Task:
    """What the run is a measurement of, without the version of the data."""
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


def _data_versions(runs: Sequence[Run]) -> list[tuple[Examples, list[Run]]]:
    """Puts runs of one data set, protocol and split together that agree on every test that two of them share.

    A data set has copies of different sizes, and images that one reader refuses, all under the same name. A run that
    contradicts no version is part of the one with which it shares most tests. With each version comes what its runs
    say of it.
    """
    versions: list[tuple[dict[tuple[str, str, str], int], list[Run]]] = []
    for run in runs:
        tested = {(r.domain, r.role, r.split): r.examples for r in run.results if r.examples is not None}
        own = {(domain, "", split): n for (domain, split), n in run.examples.items()} | tested
        fitting = [version for version in versions if all(version[0].get(test, n) == n for test, n in own.items())]
        if not fitting:
            versions.append((own, [run]))
            continue
        examples, of_version = max(fitting, key=lambda version: len(version[0].keys() & own.keys()))
        examples.update(own)
        of_version.append(run)
    return [(tuple(sorted(examples.items())), of_version) for examples, of_version in versions]


def _with_comparable_settings(runs: Sequence[Run]) -> list[Run]:
    """The runs, with one text for what is one setting.

    A setting that an earlier version did not have yet is its default, as `runs.folder.check_run_folder` compares
    configs. Recorded weights are named by their checksum and one of the paths that they were read from.
    """
    known = {name for run in runs for name in run.config}
    every_default = flat(json.loads(default_config().to_json()))
    defaults = {name: setting_text(default) for name, default in every_default.items() if name in known}
    sources: dict[str, str] = {}
    for weights in (run.weights for run in runs if run.weights):
        sources[weights.sha256] = min(weights.source, sources.get(weights.sha256, weights.source))
    comparable = []
    for run in runs:
        config = defaults | dict(run.config)
        if run.weights:
            sha256 = run.weights.sha256
            config["classifier.pretrained"] = f"{sources[sha256]} (sha256 {sha256[:12]}…)"
        comparable.append(replace(run, config=dict(sorted(config.items()))))
    return comparable
