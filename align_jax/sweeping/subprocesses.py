"""Cells in processes, each in one of its own, so that one cell's crash does not touch the others.

A cell's process holds the lock CELL/.lock while it lives, also when the sweep that started it was killed. Whoever comes
to a locked cell runs the others first, then waits for it and takes it over if it was left incomplete: no two processes
are ever in one folder.
"""

import contextlib
import dataclasses
import os
import re
import shlex
import signal
import subprocess
import time
from collections import deque
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from pathlib import Path

from align_jax.runtime.interruption import StopRequest
from align_jax.runtime.locks import lock
from align_jax.sweeping.cells import Cell, remaining_s

POLL_S = 0.2
# What is read of a log to find its last error.
TAIL_BYTES = 65536

_ERROR = re.compile(r"(error: |[\w.]*(Error|Exception|Interrupt|Exit)\b)")


@dataclasses.dataclass(frozen=True)
class _Child:
    """A cell's process; when it began, by the monotonic clock; where its log begins, in bytes; its cores."""

    cell: Cell
    process: subprocess.Popen[bytes]
    began: float
    log_began: int
    cores: frozenset[int]


def core_shares(cores: Iterable[int], jobs: int) -> list[frozenset[int]]:
    """Cores for each of `jobs` processes: all for one process or where they do not suffice, else disjoint shares.

    Processes that each compute on all cores wait for one another: two runs on one core each take less time than the
    two at once on two cores.
    """
    cores = sorted(cores)
    if jobs == 1 or jobs > len(cores):
        return [frozenset(cores)] * jobs
    return [frozenset(cores[job::jobs]) for job in range(jobs)]


def is_complete(run: Path) -> bool:
    """Whether a run has ended, and its page, which is written last, is there."""
    return (run / "summary.json").exists() and (run / "report" / "index.html").exists()


def state(run: Path) -> str:
    """One of "complete", "running" (in whatever process), "incomplete" (to be resumed) and "not started"."""
    if is_complete(run):
        return "complete"
    if (run / ".lock").exists():
        with lock(run / ".lock") as held:
            if held is None:
                return "running"
    return "incomplete" if (run / "config.json").exists() else "not started"


def run_cells(
    cells: Sequence[Cell],
    workdir: Path,
    command: Callable[[Cell], list[str]],
    *,
    jobs: int,
    stop: StopRequest,
    say: Callable[[str], None],
) -> dict[Cell, str]:
    """Runs what is not complete, some at a time, and says a line whenever one begins or ends.

    Once `stop` is true, its signal is passed on to what runs, and nothing more begins.

    Args:
      cells: in the order in which they begin.
      workdir: the sweep's folder.
      command: the program and arguments that run a cell; it writes the run's page last of all.
      jobs: how many run at a time.
      stop: see `interruption.stop_request`.
      say: takes a line.

    Returns:
      What went wrong, by cell.

    Raises:
      KeyboardInterrupt: a second Ctrl-C; the processes were killed.
    """
    queue = _Queue(cells, workdir, command, jobs, stop, say)
    if queue.done:
        say(f"{queue.done} of {len(cells)} cells are complete and not repeated")
    try:
        while queue.waiting or queue.children:
            queue.pass_on_stop()
            queue.collect_ended()
            queue.start_next()
            if queue.waiting or queue.children:
                time.sleep(POLL_S)
    except KeyboardInterrupt:
        # At once: Python would not hear of a signal before XLA has compiled. A run goes on from wherever it was killed.
        for child in queue.children:
            child.process.kill()
        for child in queue.children:
            child.process.wait()
        raise
    return queue.failures


class _Queue:
    """The cells of `run_cells`: those that wait, those that run, and what became of the others."""

    def __init__(
        self,
        cells: Sequence[Cell],
        workdir: Path,
        command: Callable[[Cell], list[str]],
        jobs: int,
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        self._workdir, self._command, self._jobs, self._stop, self._say = workdir, command, jobs, stop, say
        self.waiting = deque(cell for cell in cells if not is_complete(workdir / cell.path))
        self.children: list[_Child] = []
        self.failures: dict[Cell, str] = {}
        self._total = len(cells)
        self.done = self._total - len(self.waiting)
        self._durations: list[float] = []
        self._elsewhere: set[Cell] = set()
        self._passed_on = False
        # Only Linux says which cores a process may use.
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._free = core_shares(cores, min(jobs, max(len(self.waiting), 1)))

    def pass_on_stop(self) -> None:
        """Sends the signal that asked the sweep to stop to every running cell, once."""
        if self._stop.signal is not None and not self._passed_on:
            self.waiting.clear()
            for child in self.children:
                child.process.send_signal(self._stop.signal)
            self._passed_on = True

    def collect_ended(self) -> None:
        """Says what became of every process that has ended."""
        signal_number = self._stop.signal
        for child in [child for child in self.children if child.process.poll() is not None]:
            self.children.remove(child)
            self._free.append(child.cores)
            cell, took = child.cell, time.monotonic() - child.began
            if child.process.returncode == 0 and is_complete(self._workdir / cell.path):
                self.done += 1
                self._durations.append(took)
                self._say(f"{cell.path}: complete in {_clock(took)}; {self._count()}")
            elif signal_number is not None and child.process.returncode in (128 + signal_number, -signal_number):
                self._say(f"{cell.path}: stopped after {_clock(took)}; {self._count()}")
            else:
                self._fail(cell, _what_went_wrong(child, self._workdir / cell.path))

    def start_next(self) -> None:
        """Starts waiting cells on free cores; a cell that another process runs goes behind the others."""
        for _ in range(0 if self._stop else len(self.waiting)):
            if len(self.children) == self._jobs:
                break
            cell = self.waiting.popleft()
            run = self._workdir / cell.path
            try:
                run.mkdir(parents=True, exist_ok=True)
                with lock(run / ".lock") as held:
                    if held is None:
                        self.waiting.append(cell)
                        if cell not in self._elsewhere:
                            self._say(f"{cell.path}: still running in another process; the others go first")
                            self._elsewhere.add(cell)
                    elif is_complete(run):
                        self.done += 1
                        self._say(f"{cell.path}: complete, by another process; {self._count()}")
                    else:
                        self._say(f"{cell.path}: {'resumes' if (run / 'config.json').exists() else 'begins'}")
                        self.children.append(_start(cell, run, self._command(cell), held, self._free[-1]))
                        self._free.pop()
            except OSError as error:
                self._fail(cell, str(error))

    def _count(self) -> str:
        running = [time.monotonic() - child.began for child in self.children]
        left = remaining_s(self._durations, running, len(self.waiting), self._jobs)
        about = f", about {_clock(left)} left" if left and not self._stop else ""
        return f"{self.done} of {self._total} done{about}"

    def _fail(self, cell: Cell, reason: str) -> None:
        self.failures[cell] = reason
        self._say(f"{cell.path}: failed, {reason}; {self._count()}")


def _start(cell: Cell, run: Path, command: Sequence[str], held: int, cores: frozenset[int]) -> _Child:
    """Starts a cell's process, which inherits the lock, appends to the cell's `log.txt`, and has these cores."""
    with (run / "log.txt").open("ab") as log:
        log_began = log.tell()
        log.write(os.fsencode(f"$ {shlex.join(command)}\n"))
        log.flush()
        process = subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=log,
            stderr=subprocess.STDOUT,
            pass_fds=(held,),
            # A terminal sends Ctrl-C to its whole foreground group; a second one, passed on, would forbid saving.
            start_new_session=True,
        )
    if cores:
        # Long before it starts a thread, and threads inherit it. It may have ended already, or the system may not allow
        # it; no run fails for that.
        with contextlib.suppress(OSError):
            os.sched_setaffinity(process.pid, cores)
    return _Child(cell, process, time.monotonic(), log_began, cores)


def _what_went_wrong(child: _Child, run: Path) -> str:
    status = child.process.returncode
    if status == 0:
        how = "it ended without a report"
    elif status < 0:
        how = f"killed by signal {-status} ({signal.strsignal(-status)})"
    else:
        how = f"exit status {status}"
    with (run / "log.txt").open("rb") as log:
        size = log.seek(0, os.SEEK_END)
        log.seek(max(child.log_began, size - TAIL_BYTES))
        line = last_error(log.read().decode(errors="replace"))
    return f"{how}: {line}" if line else how


def last_error(log: str) -> str:
    """The last line that names an error, or the last line of all, or nothing; the command itself does not count."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("$ ")]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines or [""])[-1]


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
