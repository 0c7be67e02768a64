"""How a process joins the others of one program, and how it leaves them. JAX is imported only when it joins.

JAX aborts a process that does not meet the others, and one of whose others has died: at once if that was process 0, and
after `HEARTBEAT_S` without a sign of life from another one. It cannot be told to call Python then. So the abort's
signal is answered here, with a sentence and an exit status. A process that fails in another way tells the others why,
and they end for that reason.
"""

import contextlib
import ctypes
import json
import os
import signal
import socket
import threading
import time
import traceback
from typing import Any, NoReturn

from align_jax.errors import UserError, one_line

# EX_TEMPFAIL of <sysexits.h>: the same command again may work.
LOST = 75
# Without a sign of life for so long, a process counts as dead. The others then end within a minute.
HEARTBEAT_S = 30
# The processes of a job start minutes apart where some hosts have to load more than others.
JOIN_S = 600
# How often a process looks whether another one has failed, and how long the one that failed waits to be heard.
LOOK_S, HEARD_S = 0.5, 10.0
# A report is written by one process, for which the others wait.
END_MS = 24 * 3600 * 1000
ENDED, HEARD, END = "align_jax/ended/", "align_jax/heard/", "align_jax/end"


class Processes:
    """This process among those that run one program. Until it joins them it is alone, and nothing here does anything.

    Attributes:
      is_writer: whether this process shows what all of them would say alike.
    """

    def __init__(self) -> None:
        self.is_writer = True
        self._state: Any = None  # JAX's
        self._client: Any = None
        self._leaving, self._said = threading.Event(), threading.Lock()
        self._status = LOST

    @property
    def have_joined(self) -> bool:
        """Whether this process is one of several."""
        return self._client is not None

    def join(self, coordinator: str | None, num_processes: int | None, process_id: int | None) -> None:
        """Joins the other processes; nothing may have touched a device before.

        Args:
          coordinator: `HOST:PORT` of process 0, or None for what Cloud TPU, Slurm, Kubernetes or Open MPI say.
          num_processes: how many there are, if `coordinator` is given.
          process_id: which one this is, from 0, if `coordinator` is given.

        Raises:
          UserError: there is no such environment. If the processes do not meet, this one ends with `LOST`.
        """
        import jax
        from jax._src import distributed  # its client has no public name

        # JAX's own answer to SIGTERM would take the place of ours, which also serves Ctrl-C and a closed terminal.
        jax.config.update("jax_enable_preemption_service", False)
        self._state = distributed.global_state
        self._answer_aborts()
        try:
            jax.distributed.initialize(
                coordinator,
                num_processes,
                process_id,
                initialization_timeout=JOIN_S,
                heartbeat_timeout_seconds=HEARTBEAT_S,
                cluster_detection_method=None if coordinator is None else "deactivate",
            )
        except ValueError as error:
            raise UserError(
                f"--distributed=auto finds no Cloud TPU, Slurm, Kubernetes or Open MPI job around ({error}); start the "
                "command inside one, or give --coordinator=HOST:PORT --num_processes=N --process_id=I."
            ) from error
        except RuntimeError as error:
            raise UserError(f"{self._not_met()} ({error})") from error
        self._client = self._state.client
        self.is_writer = self._state.process_id == 0
        threading.Thread(target=self._watch, name="other processes", daemon=True).start()

    def leave(self, status: int, line: str, *, together: bool) -> None:
        """Leaves the other processes; what follows must not use their devices.

        Args:
          status: the exit status.
          line: what was said at the end, or empty.
          together: whether the others end here, too. If not, this process ends at once, and the others for its reason.
        """
        if self._client is None:
            return
        if not together:
            self._fail(status, line)
        try:
            self._client.wait_at_barrier(END, END_MS)
            self._status = status
            self._leaving.set()
            self._state.shutdown()
        except RuntimeError:  # of JAX, as another process has died
            self._lost()

    def leave_after(self, error: BaseException) -> NoReturn:
        """Leaves the others after an error that nothing foresaw, with its traceback; this process ends."""
        if isinstance(error, RuntimeError):
            # A collective fails before JAX knows that another process has died. That is the reason to give then, in a
            # sentence, and this process ends while it waits here.
            time.sleep(HEARTBEAT_S + HEARD_S)
        traceback.print_exception(error)
        self._fail(1, f"{type(error).__name__}: {error}")

    def _fail(self, status: int, line: str) -> NoReturn:
        """Tells the others why this process ends, and ends it."""
        self._status = status
        self._leaving.set()
        me = {"status": status, "line": one_line(line)[:2000], "host": socket.gethostname()}
        with contextlib.suppress(RuntimeError):
            self._client.key_value_set(f"{ENDED}{self._state.process_id}", json.dumps(me))
            if self.is_writer:
                self._wait_until_heard()
        self._exit(status)

    def _wait_until_heard(self) -> None:
        """The messages go through process 0, so that nobody would hear it after its end."""
        deadline = time.monotonic() + HEARD_S
        while time.monotonic() < deadline:
            ended = len(self._client.key_value_dir_get(ENDED)) - 1  # without this one
            if ended + len(self._client.key_value_dir_get(HEARD)) >= self._state.num_processes - 1:
                return
            time.sleep(LOOK_S / 4)

    def _watch(self) -> None:
        """Ends this process when another one has said that it ends."""
        while not self._leaving.wait(LOOK_S):
            try:
                ended = self._client.key_value_dir_get(ENDED)
            except RuntimeError:  # process 0 has died, for which JAX aborts this process
                return
            if ended and not self._leaving.is_set():
                key, value = ended[0]
                self._end_with(key.removeprefix(ENDED), json.loads(value))

    def _end_with(self, other: str, why: dict[str, Any]) -> None:
        if self._said.acquire(blocking=False):
            with contextlib.suppress(RuntimeError):
                self._client.key_value_set(f"{HEARD}{self._state.process_id}", "")
            _tell(f"Process {other} on {why['host']} has ended, and so does this one: {why['line']}")
            self._exit(why["status"])

    def _answer_aborts(self) -> None:
        kind = ctypes.CFUNCTYPE(None, ctypes.c_int)
        # C keeps the function, and Python must not free it.
        self._handler = kind(lambda number: self._lost())
        library = ctypes.CDLL(None)
        library.signal.argtypes, library.signal.restype = (ctypes.c_int, kind), ctypes.c_void_p
        library.signal(signal.SIGABRT, self._handler)

    def _lost(self) -> None:
        """Ends this process because another one is gone, or never came; if it is leaving, for its own reason."""
        if self._leaving.is_set():
            self._exit(self._status)
        if not self._said.acquire(blocking=False):
            threading.Event().wait()  # the thread that has said it ends the process
        if self._client is None:
            _tell(f"error: {self._not_met()}")
            self._exit(LOST)
        _tell(
            f"error: {self._gone()} of the {self._state.num_processes} processes is gone: it was killed, or its host "
            "or the network to it failed. What was saved is whole: start all processes again with the same commands, "
            "and the run goes on from there."
        )
        self._exit(LOST)

    def _not_met(self) -> str:
        return (
            f"The processes did not meet at {self._state.coordinator_address} within {JOIN_S} s; start all of them, "
            "each with its own --process_id, and see that the port of process 0 is free and can be reached from every "
            "host."
        )

    def _gone(self) -> str:
        if not self.is_writer:
            host, _, port = self._state.coordinator_address.rpartition(":")
            try:
                socket.create_connection((host.strip("[]"), int(port)), timeout=2).close()
            except OSError:
                return f"Process 0 at {self._state.coordinator_address}"
        return "One"

    def _exit(self, status: int) -> NoReturn:
        # Not `sys.exit`: JAX would wait for the others then. What was printed is out, line by line.
        os._exit(status)


def _tell(line: str) -> None:
    """Writes a line past Python's buffers, whose lock another thread may hold."""
    start = "\n" if os.isatty(2) else ""  # after a progress bar
    with contextlib.suppress(OSError):
        os.write(2, f"{start}{one_line(line)}\n".encode(errors="backslashreplace"))
