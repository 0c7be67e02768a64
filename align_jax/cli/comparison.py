"""Trains several methods on the same data, in one folder each, and writes a page that compares them."""

from pathlib import Path

import ml_collections

from align_jax.reporting.page import write_comparison_report, write_run_report
from align_jax.reporting.result_tables import comparison_table
from align_jax.runtime.processes import is_writer
from align_jax.runtime.terminal import say
from align_jax.training.loop import train_and_evaluate


def run_all(
    config: ml_collections.ConfigDict, workdir: Path, *, profiled_steps: int = 0, prepare_on_each_host: bool = False
) -> Path | None:
    """Trains `config.algorithm` and the methods in `config.compare`, and writes their pages.

    Without `config.compare`, `workdir` is the run's folder; else it is the folder above the runs of the methods.
    Of each run that is not complete, `profiled_steps` updates are traced.

    Returns:
      The main page; None in a process that writes nothing, as it is one of several.
    """

    def train(alone: ml_collections.ConfigDict, run: Path) -> Path | None:
        train_and_evaluate(alone, run, profiled_steps=profiled_steps, prepare_on_each_host=prepare_on_each_host)
        return write_run_report(run) if is_writer() else None

    if not config.compare:
        return train(config, workdir)
    runs = []
    for algorithm in dict.fromkeys((config.algorithm, *config.compare)):
        alone = ml_collections.ConfigDict(config).copy_and_resolve_references()
        alone.algorithm, alone.compare = algorithm, ()
        run = workdir / algorithm
        train(alone, run)
        runs.append(run)
    if not is_writer():
        return None
    for line in comparison_table(runs).splitlines():
        say(line)
    return write_comparison_report(workdir, runs)
