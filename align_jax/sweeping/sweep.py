"""A sweep: what a command asks for, and how its cells are run."""

import dataclasses
from collections.abc import Mapping, Sequence
from pathlib import Path

from align_jax.runtime.interruption import Interrupted, stop_request
from align_jax.runtime.terminal import say
from align_jax.sweeping.cells import SweepCell
from align_jax.sweeping.record import record
from align_jax.sweeping.subprocesses import Queue, is_complete


@dataclasses.dataclass(frozen=True)
class Sweep:
    """What a command asks for.

    Attributes:
      workdir: the folder above all cells.
      config: the config file, as it was given.
      overrides: values by config field, the same for every cell.
      cells: the whole grid.
      worker: this worker's number, and the number of workers.
      jobs: the number of cells that run at a time.
      slurm: the script to write instead of running anything, or None.
      dry_run: whether to show only the cells and their states.
      again: the flags of the same sweep, without --worker, --slurm and --dry_run.
    """

    workdir: Path
    config: str
    overrides: Mapping[str, str]
    cells: Sequence[SweepCell]
    worker: tuple[int, int]
    jobs: int
    slurm: Path | None
    dry_run: bool
    again: Sequence[str]

    def flags(self, cell: SweepCell) -> list[str]:
        """The arguments of `launch/main.py` that run a cell."""
        settings = {**self.overrides, **cell.settings()}
        return [
            f"--config={self.config}",
            f"--workdir={self.workdir / cell.path}",
            *(f"--config.{field}={value}" for field, value in settings.items()),
        ]


def run_sweep(
    sweep: Sweep, program: Sequence[str], *, title: str, again: str, cells: Sequence[SweepCell] | None = None
) -> tuple[int, int]:
    """Runs the cells that are not complete, in their order, and names those that failed.

    Args:
      sweep: its cells are checked and recorded.
      program: the command that runs a cell, to be given `launch/main.py`'s flags.
      title: printed before each line.
      again: the command that continues the sweep.
      cells: a share of the sweep's; all of them by default.

    Returns:
      How many cells are complete, and how many failed.

    Raises:
      Interrupted: Ctrl-C, SIGTERM or SIGHUP, after the cells have saved; a second Ctrl-C kills them.
    """
    cells, workdir = sweep.cells if cells is None else cells, sweep.workdir

    def command(cell: SweepCell) -> list[str]:
        return [*program, *sweep.flags(cell)]

    with stop_request(ends=False) as stop:
        failures = Queue(
            cells, workdir, command, jobs=sweep.jobs, stop=stop, say=lambda line: say(f"[{title}] {line}")
        ).run()
        for cell, reason in failures.items():
            say(f"[{title}] failed: {cell.path}, {reason}; see {workdir / cell.path / 'log.txt'}")
        complete = sum(is_complete(workdir / cell.path) for cell in cells)
        if stop.signal is not None:
            raise Interrupted(
                f"Stopped by {stop.signal.name} with {complete} of {len(cells)} cells complete; what was saved is "
                f"whole, and the same command goes on from there: {again}",
                stop.signal,
            )
    return complete, len(failures)


def complete_sweep(sweep: Sweep, program: Sequence[str], *, title: str, again: str) -> bool:
    """Records and runs all of a sweep's cells, as `run_sweep`; returns whether none failed."""
    record(sweep.workdir, sweep.cells)
    complete, failed = run_sweep(sweep, program, title=title, again=again)
    if failed:
        say(
            f"[{title}] {complete} of {len(sweep.cells)} cells are complete; the same command tries the others again: "
            f"{again}"
        )
    return not failed
