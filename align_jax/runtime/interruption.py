"""Ctrl-C and SIGTERM as a request: the loop saves at its next step and ends. A second Ctrl-C ends without saving."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Training stopped because it was asked to, after saving; the message says how to go on.

    Attributes:
      status: the exit status that a shell expects of a process ended by that signal.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number


class StopRequest:
    """Whether someone asked this run to end; true once they have.

    Attributes:
      signal: what they asked with, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM inside the block; the handlers that were there before come back after it."""
    request = StopRequest()

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)
        print(f"\n{request.signal.name}: saving at the next step; Ctrl-C again ends at once.", file=sys.stderr)

    # Only the main thread may set handlers; elsewhere the caller's own stay.
    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
