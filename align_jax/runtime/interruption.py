"""Ctrl-C and SIGTERM as requests to stop: the loop saves at its next step and ends. A second Ctrl-C does not save."""

import signal
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType


class Interrupted(Exception):
    """Training was asked to stop, and did after saving; the message says how to go on.

    Attributes:
      status: the exit status by which a shell knows that the signal ended a process.
    """

    def __init__(self, message: str, number: int) -> None:
        super().__init__(message)
        self.status = 128 + number


class StopRequest:
    """Whether a run was asked to stop: true once it was.

    Attributes:
      signal: the signal that asked, or None.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None

    def __bool__(self) -> bool:
        return self.signal is not None


@contextmanager
def stop_request() -> Iterator[StopRequest]:
    """Handles SIGINT and SIGTERM inside the block, and restores the previous handlers after it."""
    request = StopRequest()

    def remember(number: int, frame: FrameType | None) -> None:
        del frame
        if request and number == signal.SIGINT:
            raise KeyboardInterrupt
        request.signal = signal.Signals(number)
        print(f"\n{request.signal.name}: saving at the next step; Ctrl-C again ends at once.", file=sys.stderr)

    # Only the main thread may set handlers; in other threads the existing ones stay.
    handled = (signal.SIGINT, signal.SIGTERM) if threading.current_thread() is threading.main_thread() else ()
    before = {number: signal.signal(number, remember) for number in handled}
    try:
        yield request
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
