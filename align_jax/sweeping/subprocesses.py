"""Runs each cell in a process of its own, so that a crash of one cell does not touch the others.

A cell's process holds the lock CELL/.lock while it lives, even after the sweep that started it was killed. A sweep that
finds a cell locked runs the others first, waits for this one, and takes it over if it was left incomplete. So no two
processes are ever in one folder.
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
from align_jax.sweeping.cells import SweepCell, remaining_s

POLL_S = 0.2
# The last error of a log is looked for in this many bytes at its end.
TAIL_BYTES = 65536

_ERROR = re.compile(r"(error: |[\w.]*(Error|Exception|Interrupt|Exit)\b)")


@dataclasses.dataclass(frozen=True)
class _Child:
    """A cell's process, when it began (by the monotonic clock), where its log begins (in bytes), and its cores."""

    cell: SweepCell
    process: subprocess.Popen[bytes]
    began: float
    log_began: int
    cores: frozenset[int]


def core_shares(cores: Iterable[int], jobs: int) -> list[frozenset[int]]:
    """Cores for each of `jobs` processes: disjoint shares, or all cores for each if there are not enough.

    Processes that each compute on all cores wait for one another: two runs are faster with one core each than with two
    shared cores.
    """
    cores = sorted(cores)
    if jobs == 1 or jobs > len(cores):
        return [frozenset(cores)] * jobs
    return [frozenset(cores[job::jobs]) for job in range(jobs)]


def is_complete(run: Path) -> bool:
    """Whether a run has its summary and its page, which is written last."""
    return (run / "summary.json").exists() and (run / "report" / "index.html").exists()


def state(run: Path) -> str:
    """One of "complete", "running" (in any process), "incomplete" (can be resumed) and "not started"."""
    if is_complete(run):
        return "complete"
    if (run / ".lock").exists():
        with lock(run / ".lock") as held:
            if held is None:
                return "running"
    return "incomplete" if (run / "config.json").exists() else "not started"


class Queue:
    """Runs the cells that are not complete, a few at a time, and prints a line when one begins or ends.

    Once `stop` is true, its signal is passed on to the running cells, and no other cell begins.
    """

    def __init__(
        self,
        cells: Sequence[SweepCell],
        workdir: Path,
        command: Callable[[SweepCell], list[str]],
        *,
        jobs: int,
        stop: StopRequest,
        say: Callable[[str], None],
    ) -> None:
        """Nothing runs yet.

        Args:
          cells: in the order in which they begin.
          workdir: the sweep's folder.
          command: the program and arguments that run a cell; it writes the run's page last of all.
          jobs: how many cells run at a time.
          stop: see `interruption.stop_request`.
          say: prints a line.
        """
        self._workdir, self._command, self._jobs, self._stop, self._say = workdir, command, jobs, stop, say
        self._waiting = deque(cell for cell in cells if not is_complete(workdir / cell.path))
        self._children: list[_Child] = []
        self._failures: dict[SweepCell, str] = {}
        self._total = len(cells)
        self._done = self._total - len(self._waiting)
        self._durations: list[float] = []
        self._elsewhere: set[SweepCell] = set()
        self._passed_on = False
        # Only Linux says which cores a process may use.
        cores = os.sched_getaffinity(0) if hasattr(os, "sched_getaffinity") else ()
        self._free = core_shares(cores, min(jobs, max(len(self._waiting), 1)))

    def run(self) -> dict[SweepCell, str]:
        """Runs the cells.

        Returns:
          What went wrong, by cell.
        """
        if self._done:
            self._say(f"{self._done} of {self._total} cells are complete and not repeated")
        while self._waiting or self._children:
            self._pass_on_stop()
            self._collect_ended()
            self._start_next()
            if self._waiting or self._children:
                time.sleep(POLL_S)
        return self._failures

    def _pass_on_stop(self) -> None:
        """Sends the signal that asked the sweep to stop to every running cell, once; after a second one kills them."""
        if self._stop.insisted:
            # A killed run can be resumed.
            for child in self._children:
                child.process.kill()
                child.process.wait()
        if self._stop.signal is not None and not self._passed_on:
            self._waiting.clear()
            for child in self._children:
                child.process.send_signal(self._stop.signal)
            self._passed_on = True

    def _collect_ended(self) -> None:
        """Prints a line for every process that has ended."""
        for child in [child for child in self._children if child.process.poll() is not None]:
            self._children.remove(child)
            self._free.append(child.cores)
            cell, took, status = child.cell, time.monotonic() - child.began, child.process.returncode
            if status == 0 and is_complete(self._workdir / cell.path):
                self._done += 1
                self._durations.append(took)
                self._say(f"{cell.path}: complete in {_clock(took)}; {self._count()}")
            elif self._was_stopped(child):
                self._say(f"{cell.path}: stopped after {_clock(took)}; {self._count()}")
            else:
                self._fail(cell, _what_went_wrong(child, self._workdir / cell.path))

    def _was_stopped(self, child: _Child) -> bool:
        """Whether a process ended because it was asked to; in start-up, before its handlers, it may with any status."""
        number, status = self._stop.signal, child.process.returncode
        if self._stop.insisted or (number and status in (128 + number, -number)):
            return True
        began = (self._workdir / child.cell.path / "config.json").exists()
        return self._passed_on and not began and status not in (0, 2)  # 2 is a user's mistake

    def _start_next(self) -> None:
        """Starts waiting cells on free cores; a cell that another process runs is moved behind the others."""
        for _ in range(0 if self._stop else len(self._waiting)):
            if len(self._children) == self._jobs:
                break
            cell = self._waiting.popleft()
            run = self._workdir / cell.path
            try:
                run.mkdir(parents=True, exist_ok=True)
                with lock(run / ".lock") as held:
                    if held is None:
                        self._waiting.append(cell)
                        if cell not in self._elsewhere:
                            self._say(f"{cell.path}: still running in another process; the others run first")
                            self._elsewhere.add(cell)
                    elif is_complete(run):
                        self._done += 1
                        self._say(f"{cell.path}: complete, by another process; {self._count()}")
                    else:
                        self._say(f"{cell.path}: {'resumes' if (run / 'config.json').exists() else 'begins'}")
                        self._children.append(_start(cell, run, self._command(cell), held, self._free[-1]))
                        self._free.pop()
            except OSError as error:
                self._fail(cell, str(error))

    def _count(self) -> str:
        running = [time.monotonic() - child.began for child in self._children]
        left = remaining_s(self._durations, running, len(self._waiting), self._jobs)
        about = f", about {_clock(left)} left" if left and not self._stop else ""
        return f"{self._done} of {self._total} done{about}"

    def _fail(self, cell: SweepCell, reason: str) -> None:
        self._failures[cell] = reason
        self._say(f"{cell.path}: failed, {reason}; {self._count()}")


def _start(cell: SweepCell, run: Path, command: Sequence[str], held: int, cores: frozenset[int]) -> _Child:
    """Starts a cell's process, which inherits the lock, appends to the cell's `log.txt`, and runs on these cores."""
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
            # A terminal sends Ctrl-C to its whole foreground group. The cell must not get it: it is sent the signal by
            # the sweep, and a second one would end it without saving.
            start_new_session=True,
        )
    if cores:
        # The process has no threads yet, and later ones inherit its cores. This fails if the process has ended already
        # or the system does not allow it; the cell then runs on all cores.
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
    """The last line that names an error, or else the last line, or nothing; the line with the command is left out."""
    lines = [line.strip() for line in log.splitlines() if line.strip() and not line.startswith("$ ")]
    errors = [line for line in lines if _ERROR.match(line)]
    return (errors or lines or [""])[-1]


def _clock(seconds: float) -> str:
    return str(timedelta(seconds=round(seconds)))
