"""The settings below a benchmark's tables: those that all rows share, and those in which rows differ."""

from collections.abc import Mapping
from dataclasses import dataclass

from align_jax.reporting import names
from align_jax.reporting.many_runs.tasks import NEVER_RUN, Method, Task, differing_settings

# What a reader asks for first; the rest is listed after it.
MAIN_SETTINGS = (
    *("classifier.name", "classifier.pretrained", "classifier.freeze_batch_norm", "data.image_size"),
    *("optim.name", "optim.lr", "optim.weight_decay", "optim.schedule"),
    *("schedule.batch_size", "schedule.length", "schedule.unit", "schedule.warmup", "schedule.warmup_unit"),
)


@dataclass(frozen=True)
class Settings:
    """Settings shared by all rows, and those that are not: by name, a value for each method."""

    shared: Mapping[str, str]
    differing: Mapping[str, tuple[str, ...]]
    methods: tuple[str, ...]

    @property
    def main(self) -> str:
        """The shared settings that a reader asks for first, on one line."""
        return ", ".join(
            f"{name} = {names.shortened(self.shared[name])}" for name in MAIN_SETTINGS if name in self.shared
        )

    @property
    def others(self) -> dict[str, str]:
        """The shared settings that `main` leaves out."""
        return {name: value for name, value in self.shared.items() if name not in MAIN_SETTINGS}


def benchmark_settings(titles: Mapping[Method, str], task: Task) -> Settings:
    """The settings of the methods that have runs, and of their task."""
    methods = [method for method in titles if method.guidance != NEVER_RUN]
    differing = differing_settings(methods)
    of_method = [dict(method.settings) for method in methods]
    shared = {name: value for name, value in of_method[0].items() if name not in differing} | dict(task.settings)
    return Settings(
        shared=dict(sorted(shared.items())),
        differing={name: tuple(s.get(name, names.MISSING) for s in of_method) for name in differing},
        methods=tuple(titles[method] for method in methods),
    )
