"""Ctrl-C, SIGTERM and a closed terminal (SIGHUP): they end the process at once, or are remembered as a request to stop.

Nothing here raises an exception in the middle of other code. Where a handler raises, the exception comes out wherever
Python happens to be: in a callback of JAX's garbage collector, which swallows it, or below C++ code, which crashes.
"""

import atexit
import os
import select
import signal
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Any

from align_jax.runtime.terminal import to_nowhere

ASKING = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class Interrupted(Exception):
    """Work was asked to stop, and did after saving; the message says how to go on.

    Attributes:
      status: the exit status by which a shell knows that the signal ended a process.
      together: whether every process of the program raises it; one of them says it then.
    """

    def __init__(self, message: str, number: int, *, together: bool = False) -> None:
        super().__init__(message)
        self.status, self.together = 128 + number, together


class StopRequest:
    """Whether work was asked to stop: true once it was.

    Attributes:
      signal: the signal that asked, or None.
      insisted: whether Ctrl-C came after it.
    """

    def __init__(self) -> None:
        self.signal: signal.Signals | None = None
        self.insisted = False

    def __bool__(self) -> bool:
        return self.signal is not None


class _Answering:
    """A handler that calls `answer` with each signal, until `close`.

    Python runs a handler between two steps of the main thread, so never while XLA compiles. The system also writes the
    signal's number into a pipe, at once. A thread reads it there, or the handler does: whoever comes first.
    """

    def __init__(
        self, answer: Callable[["_Answering", signal.Signals], None], request: StopRequest | None = None
    ) -> None:
        self._answer, self.request, self._insisted, self._closed = answer, request, False, False
        self._reading, self._pipe = threading.RLock(), os.pipe()
        for end in self._pipe:
            os.set_blocking(end, False)
        self._before = {number: signal.getsignal(number) for number in ASKING if not _ignored(number)}
        self._thread = threading.Thread(target=self._watch, name="signals", daemon=True)
        self._thread.start()
        # The pipe comes first: a signal that arrives before its handler is set is not lost.
        self._pipe_before = signal.set_wakeup_fd(self._pipe[1], warn_on_full_buffer=False)
        for number in self._before:
            signal.signal(number, self)

    def __call__(self, number: int, frame: FrameType | None) -> None:
        self._take()
        # Where there is no command around, as in a notebook, a second Ctrl-C is an exception as usual.
        if self._insisted and callable(outermost := self._outermost(signal.Signals(number))):
            outermost(number, frame)

    def insist(self, asked: signal.Signals) -> None:
        """Ends the command around, if there is one."""
        self._insisted = True
        if isinstance(outermost := self._outermost(asked), _Answering):
            outermost._answer(outermost, asked)

    def _outermost(self, asked: signal.Signals) -> Any:
        """The handler around all requests."""
        before = self._before[asked]
        if isinstance(before, _Answering) and before.request is not None:
            return before._outermost(asked)
        return before

    def close(self) -> None:
        """Restores the handlers; signals that came before are answered."""
        signal.set_wakeup_fd(self._pipe_before, warn_on_full_buffer=False)
        for number, handler in self._before.items():
            signal.signal(number, handler or signal.SIG_DFL)
        self._closed = True
        os.write(self._pipe[1], b"\0")  # wakes the thread
        self._thread.join()
        for end in self._pipe:
            os.close(end)

    def _watch(self) -> None:
        poll = select.poll()
        poll.register(self._pipe[0], select.POLLIN)
        while not self._closed:
            poll.poll()
            self._take()

    def _take(self) -> None:
        with self._reading:
            try:
                received = os.read(self._pipe[0], 64)
            except BlockingIOError:  # the other one has read it
                return
            for number in received:
                if number in ASKING:
                    self._answer(self, signal.Signals(number))


def begin() -> None:
    """The first call of every command, before it imports JAX, which takes seconds: from here on signals end it well."""
    end_at_signals("nothing is left half-written.")
    # Registered first, this is called last, when only Python's own end is left: Ctrl-C would just change the status.
    atexit.register(signal.signal, signal.SIGINT, signal.SIG_IGN)


def end_at_signals(left_behind: str) -> Callable[[], None]:
    """From now on a signal ends the process with its exit status and one line. Files must appear whole or not at all.

    Args:
      left_behind: what the end leaves, such as "nothing was written."

    Returns:
      What restores the handlers.
    """

    def end(answering: _Answering, asked: signal.Signals) -> None:
        del answering
        _tell(f"Interrupted by {asked.name}; {left_behind}")
        os._exit(128 + asked)

    return _Answering(end).close if _may_handle() else lambda: None


@contextmanager
def stop_request(answer: str = "saving at the next step", *, ends: bool = True) -> Iterator[StopRequest]:
    """Remembers the first signal inside the block, and in the blocks around it.

    If the outermost block ends all the same, the signal comes again after it.

    Args:
      answer: what the first signal is answered with.
      ends: whether a second Ctrl-C ends the command. If not, the block must look for `insisted`.
    """
    request, around = StopRequest(), _request()

    def remember(answering: _Answering, asked: signal.Signals) -> None:
        if request.signal is None:
            request.signal = asked
            if around is not None:  # it is asked too, however the inner block ends
                around.signal = around.signal or asked
            _tell(f"{asked.name}: {answer}; Ctrl-C again ends at once.")
        elif asked == signal.SIGINT:
            request.insisted = True
            if ends:
                answering.insist(asked)

    if not _may_handle():
        yield request
        return
    answering = _Answering(remember, request)
    if around is not None:
        request.signal = request.signal or around.signal
    try:
        yield request
    finally:
        answering.close()
    if request.signal is not None and around is None:
        signal.raise_signal(request.signal)


def stop_if_asked(left_behind: str) -> None:
    """For long loops inside a block of `stop_request`, however deep: raises `Interrupted` once it was asked to stop.

    Args:
      left_behind: what the end leaves, such as "nothing was written."
    """
    request = _request()
    if request is not None and request.signal is not None:
        raise Interrupted(f"Interrupted by {request.signal.name}; {left_behind}", request.signal)


def _request() -> StopRequest | None:
    """The request of the block of `stop_request` around, if there is one."""
    answering = signal.getsignal(signal.SIGINT)
    return answering.request if isinstance(answering, _Answering) else None


def _may_handle() -> bool:
    """Only the main thread may set handlers; in others the existing ones stay."""
    return threading.current_thread() is threading.main_thread()


def _ignored(number: signal.Signals) -> bool:
    """`nohup` ignores SIGHUP, and that stays so."""
    return number == signal.SIGHUP and signal.getsignal(number) is signal.SIG_IGN


def _tell(line: str) -> None:
    """Prints a line, unless that would block. A terminal that is gone is replaced by nothing: work can go on."""
    # Not `print`, which fails where a signal comes while something is printed. Writing nothing shows what is gone.
    for stream, text in ((sys.__stdout__, ""), (sys.__stderr__, f"{line}\n")):
        if stream is None or stream.closed:
            continue
        end = stream.fileno()
        start = "\n" if text and os.isatty(end) else ""  # after the terminal's ^C
        poll = select.poll()
        poll.register(end, select.POLLOUT)
        try:
            if poll.poll(0):
                os.write(end, f"{start}{text}".encode())
        except OSError:
            to_nowhere(stream)
