"""An experiment: cells that belong together, carried out or completed, for a report that needs all of them."""

from collections.abc import Sequence

from align_jax.cli.sweep import Sweep
from align_jax.runtime.interruption import Interrupted
from align_jax.sweeping.carry_out import carry_out, say
from align_jax.sweeping.record import record


def experiment(sweep: Sweep, program: Sequence[str], *, title: str, again: str) -> bool:
    """Carries out or completes all of a sweep's cells; whether all of them now are complete.

    Args:
      sweep: its cells, checked.
      program: what carries out a cell, given `launch/main.py`'s flags.
      title: what the lines on the terminal begin with.
      again: the command that goes on.

    Raises:
      Interrupted: Ctrl-C or SIGTERM, after the cells have saved.
    """
    record(sweep.workdir, sweep.cells)
    outcome = carry_out(
        sweep.cells, sweep.workdir, lambda cell: [*program, *sweep.flags(cell)], jobs=sweep.jobs, title=title
    )
    done = f"{outcome.complete} of {len(sweep.cells)} cells"
    if outcome.stopped_by is not None:
        raise Interrupted(
            f"Stopped by {outcome.stopped_by.name} with {done} complete; what was saved is whole, and the same command "
            f"goes on from there: {again}",
            outcome.stopped_by,
        )
    if outcome.failed:
        say(title, f"{done} are complete; the same command tries the others again: {again}")
    return not outcome.failed
