"""Notes when the device has ended its work, without making it or the training loop wait."""

import contextlib
import queue
import threading
import time
from collections.abc import Callable
from typing import Any

import jax

# How long the end of a run waits for a device that no longer answers, such as one that waits for a host that is gone.
LONGEST_S = 10


class DeviceWatch:
    """A thread that waits for what the device was given last, and notes when it was done.

    Calls of a compiled program return before the device has computed anything, so the loop does not know when an update
    ends. If it waited to find out, the device would have nothing to do meanwhile.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        self._now, self._given = now, 0
        # The number of what was done last, and when that was: one value, so that no reader sees half of it.
        self._done = 0, now()
        self._queue: queue.SimpleQueue[tuple[int, Any] | None] = queue.SimpleQueue()
        self._thread = threading.Thread(target=self._watch, name="device watch", daemon=True)
        self._thread.start()

    def given(self, outputs: Any) -> None:
        """The device was given a program with these outputs; none of them may be donated to a later one."""
        self._given += 1
        self._queue.put((self._given, outputs))

    def idle_since(self) -> float | None:
        """Since when the device has had nothing to do; None while it works."""
        number, when = self._done
        return when if number == self._given else None

    def close(self) -> None:
        """Ends the thread, after what the device was given; one that hangs is left behind."""
        self._queue.put(None)
        self._thread.join(LONGEST_S)

    def _watch(self) -> None:
        while (item := self._queue.get()) is not None:
            number, outputs = item
            # The loop meets the same error when it reads the outputs, and answers it.
            with contextlib.suppress(Exception):
                jax.block_until_ready(outputs)
            self._done = number, self._now()
            del item, outputs  # not kept on the device until the next ones come
