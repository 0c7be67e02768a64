"""Carrying out cells, and saying what became of them."""

import signal
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NamedTuple

from align_jax.runtime.interruption import stop_request
from align_jax.sweeping.cells import Cell
from align_jax.sweeping.subprocesses import is_complete, run_cells


class Outcome(NamedTuple):
    """How many cells are complete, how many failed, and the signal that stopped them, if one did."""

    complete: int
    failed: int
    stopped_by: signal.Signals | None


def say(title: str, line: str) -> None:
    """A line on the terminal, beside what a program prints as its result."""
    print(f"[{title}] {line}", file=sys.stderr, flush=True)


def carry_out(
    cells: Sequence[Cell], workdir: Path, command: Callable[[Cell], list[str]], *, jobs: int, title: str
) -> Outcome:
    """Runs what is not complete, in the cells' order, and names those that failed.

    Args:
      cells: checked, and recorded.
      workdir: the folder above them.
      command: the program and arguments that carry out a cell.
      jobs: how many run at a time.
      title: what the lines on the terminal begin with.
    """
    with stop_request() as stop:
        failures = run_cells(cells, workdir, command, jobs=jobs, stop=stop, say=lambda line: say(title, line))
    for cell, reason in failures.items():
        say(title, f"failed: {cell.path}, {reason}; see {workdir / cell.path / 'log.txt'}")
    return Outcome(sum(is_complete(workdir / cell.path) for cell in cells), len(failures), stop.signal)
