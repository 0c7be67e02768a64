"""Trains several methods on the same data, in one folder each, and writes a page that compares them."""

from pathlib import Path

import ml_collections

from align_jax.reporting.page import write_comparison_report, write_run_report
from align_jax.reporting.result_tables import comparison_table
from align_jax.runtime.terminal import say
from align_jax.training.loop import train_and_evaluate


def run_all(config: ml_collections.ConfigDict, workdir: Path, profiled_steps: int = 0) -> Path:
    """Trains `config.algorithm` and the methods in `config.compare`, writes their pages, and returns the main page.

    Without `config.compare`, `workdir` is the run's folder; else it is the folder above the runs of the methods.
    Of each run that is not complete, `profiled_steps` updates are traced.
    """
    if not config.compare:
        train_and_evaluate(config, workdir, profiled_steps)
        return write_run_report(workdir)
    runs = []
    for algorithm in dict.fromkeys((config.algorithm, *config.compare)):
        alone = ml_collections.ConfigDict(config).copy_and_resolve_references()
        alone.algorithm, alone.compare = algorithm, ()
        run = workdir / algorithm
        train_and_evaluate(alone, run, profiled_steps)
        write_run_report(run)
        runs.append(run)
    for line in comparison_table(runs).splitlines():
        say(line)
    return write_comparison_report(workdir, runs)
