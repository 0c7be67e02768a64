"""An experiment: cells that belong together, carried out or completed, for a report that needs all of them."""

import sys
from collections.abc import Sequence

from align_jax.interruption import Interrupted, stop_request
from align_jax.sweeping.command_line import Sweep
from align_jax.sweeping.record import record
from align_jax.sweeping.subprocesses import is_complete, run_cells


def experiment(sweep: Sweep, program: Sequence[str], *, title: str, again: str) -> bool:
    """Carries out what is not complete of a sweep's cells, in their order; whether all of it now is.

    Args:
      sweep: its cells, checked.
      program: what carries out a cell, given `launch/main.py`'s flags.
      title: what the lines on the terminal begin with.
      again: the command that goes on.

    Raises:
      Interrupted: Ctrl-C or SIGTERM, after the cells have saved.
    """

    def say(line: str) -> None:
        print(f"[{title}] {line}", file=sys.stderr, flush=True)

    record(sweep.workdir, sweep.cells)
    with stop_request() as stop:
        failures = run_cells(
            sweep.cells, sweep.workdir, lambda cell: [*program, *sweep.flags(cell)], jobs=sweep.jobs, stop=stop, say=say
        )
    for cell, reason in failures.items():
        say(f"failed: {cell.path}, {reason}; see {sweep.workdir / cell.path / 'log.txt'}")
    done = sum(is_complete(sweep.workdir / cell.path) for cell in sweep.cells)
    if stop.signal is not None:
        raise Interrupted(
            f"Stopped by {stop.signal.name} with {done} of {len(sweep.cells)} cells complete; what was saved is whole, "
            f"and the same command goes on from there: {again}",
            stop.signal,
        )
    if failures:
        say(f"{done} of {len(sweep.cells)} cells are complete; the same command tries the others again: {again}")
    return not failures
