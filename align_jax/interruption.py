"""Ctrl-C and SIGTERM as a request: the loop saves at its next step and ends; a second Ctrl-C ends at once."""

import signal
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import jax
from jax.experimental import multihost_utils


class Interrupted(Exception):
    """Training stopped because it was asked to, after saving; the message says how to go on.

    Attributes:
      status: the exit status that a shell expects of a process ended by that signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number


class StopRequest:
    """Whether someone asked this run to end."""

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None

    def reached(self, step: int) -> bool:
        """Whether to stop after this step. Every process of a multi-host run gets the same answer at the same step."""
        if jax.process_count() > 1:
            return multihost_utils.reached_preemption_sync_point(step)
        return bool(self)


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM inside the block; the handlers that were there before come back after it."""
    request = StopRequest()

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        if request.signal is not None and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)

    # With several processes JAX's own preemption notifier listens to SIGTERM, and only the main thread sets handlers.
    single = jax.process_count() == 1 and threading.current_thread() is threading.main_thread()
    handled = (signal.SIGINT, signal.SIGTERM) if single else ()
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
