"""The settings below a task's tables: those that all rows share, and those that differ between rows."""

from collections.abc import Mapping
from typing import NamedTuple

from align_jax.reporting.many_runs.tasks import NEVER_RUN, Setup, Task, differing_settings
from align_jax.tables.table import MISSING, Table, plain_table, shortened

# Readers look for these first; the others are listed after them.
MAIN_SETTINGS = (
    *("classifier.name", "classifier.pretrained", "classifier.freeze_batch_norm", "data.image_size"),
    *("optim.name", "optim.lr", "optim.weight_decay", "optim.schedule"),
    *("schedule.batch_size", "schedule.length", "schedule.unit", "schedule.warmup", "schedule.warmup_unit"),
)


class Settings(NamedTuple):
    """The settings that all rows share, and those that differ: a value for each of the rows' `titles`."""

    shared: Mapping[str, str]
    differing: Mapping[str, tuple[str, ...]]
    titles: tuple[str, ...]

    @property
    def main(self) -> str:
        """The shared settings that a reader asks for first, on one line."""
        return ", ".join(f"{name} = {shortened(self.shared[name])}" for name in MAIN_SETTINGS if name in self.shared)

    @property
    def others(self) -> str:
        """The shared settings that `main` leaves out, in a sentence."""
        others = [(name, value) for name, value in self.shared.items() if name not in MAIN_SETTINGS]
        listed = ", ".join(f"{shortened(name)} = {shortened(value)}" for name, value in others)
        return f"All other settings that the rows share: {listed or 'none'}."

    @property
    def differing_table(self) -> Table:
        """A row for each setting that differs, a column for each row of the other tables."""
        return plain_table("Setting", self.titles, self.differing.items(), title="Settings that differ between rows")

    @property
    def shared_table(self) -> Table:
        """The settings that all rows share, without a header."""
        return plain_table(
            "", ("",), ((name, (value,)) for name, value in self.shared.items()), title="Shared settings"
        )


def task_settings(titles: Mapping[Setup, str], task: Task) -> Settings:
    """The settings of the setups that have runs, and of their task."""
    setups = [setup for setup in titles if setup.guidance != NEVER_RUN]
    differing = differing_settings(setups)
    of_setup = [dict(setup.settings) for setup in setups]
    shared = {name: value for name, value in of_setup[0].items() if name not in differing} | dict(task.settings)
    return Settings(
        shared=dict(sorted(shared.items())),
        differing={name: tuple(settings.get(name, MISSING) for settings in of_setup) for name in differing},
        titles=tuple(titles[setup] for setup in setups),
    )
