"""Where a run's seconds go, summed over its starts. Each moment belongs to one part, so the parts sum to the whole."""

import threading
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import jax

from align_jax.training.device_watch import DeviceWatch

PARTS = ("start", "data", "compile", "compute", "evaluation", "saving", "other")
"""The parts of a run's time.

- start: opens the run: finds or prepares the data, makes the states, reads a checkpoint;
- data: waits for a batch while the device has nothing to do;
- compile: traces and compiles, wherever it happens;
- compute: makes updates, and waits for them;
- evaluation: scores, explains and draws examples, and reads them;
- saving: hands states to the checkpoints, waits for an earlier save, writes results, and reads the selected states;
- other: what is left, such as the log.
"""

COMPILING = "/jax/core/compile/"
"""What the names of JAX's events begin with that say how long it traced, lowered or compiled."""


class Clock:
    """Charges each moment to one part: that of the innermost block of `part`, or `other` outside of all blocks.

    It makes no device wait. An update's call returns at once, and `compute` counts the time in which the loop waits for
    the updates later on. What it waits for a batch meanwhile is `data` only if no update was under way.
    """

    def __init__(self, now: Callable[[], float] = time.monotonic) -> None:
        """Begins now; `close` ends it."""
        self._now = now
        self._seconds = dict.fromkeys(PARTS, 0.0)
        self._inside = ["other"]
        self._since = now()
        self._line = dict(self._seconds)
        # Ends of compilations so far inside the current part, each with its length.
        self._compiled: list[tuple[float, float]] = []
        self._thread = threading.get_ident()
        self._device = DeviceWatch(now)
        jax.monitoring.register_event_duration_secs_listener(self._hear)

    def close(self) -> None:
        """No longer hears of compilations."""
        jax.monitoring.unregister_event_duration_listener(self._hear)
        self._device.close()

    def go_on_from(self, before: Mapping[str, float]) -> None:
        """Adds the `timing` of the checkpoint that the run goes on from; empty for a new run.

        What was done after that checkpoint and before the process ended is not counted: nothing is left of it.
        """
        if "train_s" in before:  # an earlier version did not tell the other parts
            before = _of_earlier_version(before)
        for part in PARTS:
            self._seconds[part] += before.get(f"{part}_s", 0.0)
            self._line[part] += before.get(f"{part}_s", 0.0)

    @contextmanager
    def part(self, name: str) -> Iterator[None]:
        """Charges the time inside the block to this part; a profile shows the block under the same name."""
        self._charge()
        self._inside.append(name)
        try:
            with jax.profiler.TraceAnnotation(name):
                yield
        finally:
            self._charge()
            self._inside.pop()

    @contextmanager
    def waiting_for_data(self) -> Iterator[None]:
        """Charges the time inside the block to `data`, as far as the device had nothing to do."""
        self._charge()
        began = self._now()
        with jax.profiler.TraceAnnotation("data"):
            yield
        self._charge()
        idle = self._device.idle_since()
        if idle is not None:
            self._move(self._now() - max(began, idle), "data")

    def given(self, outputs: Any) -> None:
        """The device was given an update with these outputs; none of them may be donated later."""
        self._device.given(outputs)

    def line(self, images: int) -> dict[str, float]:
        """For a line of the log, `images` images after the last one: rates since that line, and all seconds so far."""
        self._charge()
        data, compute = (self._seconds[part] - self._line[part] for part in ("data", "compute"))
        self._line = dict(self._seconds)
        return _rates(images, data, compute) | {f"seconds/{part}": value for part, value in self._seconds.items()}

    def timing(self) -> dict[str, float]:
        """The seconds of each part so far, as a checkpoint keeps them."""
        self._charge()
        return {f"{part}_s": value for part, value in self._seconds.items()}

    def summary(self, images: int) -> dict[str, float]:
        """`timing` in `summary.json`, after training on `images` images: `wall_s` is the sum of the parts."""
        timing = self.timing()
        rates = _rates(images, timing["data_s"], timing["compute_s"])
        return {"wall_s": sum(timing.values())} | timing | rates

    def _charge(self) -> None:
        """Charges the time since the last call to the part that we are in."""
        now = self._now()
        self._seconds[self._inside[-1]] += now - self._since
        self._since = now
        self._compiled.clear()

    def _move(self, seconds: float, part: str) -> None:
        """Charges seconds to another part than to the one that we are in."""
        self._seconds[self._inside[-1]] -= seconds
        self._seconds[part] += seconds

    def _hear(self, event: str, duration_secs: float, **about: Any) -> None:
        """JAX traced, lowered or compiled until now; what it did inside of a longer one is counted once."""
        if not event.startswith(COMPILING) or threading.get_ident() != self._thread:
            return
        now = self._now()
        began = max(now - duration_secs, self._since)
        inside = 0.0
        while self._compiled and self._compiled[-1][0] > began:
            inside += self._compiled.pop()[1]
        self._compiled.append((now, now - began))
        if self._inside[-1] != "compile":
            self._move(now - began - inside, "compile")


def described(timing: Mapping[str, float]) -> str:
    """`timing` in words: `254 s: compute 62 %, compile 20 %, ...`; parts below half a percent are left out."""
    wall = sum(timing.values())
    shares = {part: timing[f"{part}_s"] / wall for part in PARTS}
    largest = sorted(PARTS, key=lambda part: -shares[part])
    listed = ", ".join(f"{part} {100 * shares[part]:.0f} %" for part in largest if shares[part] >= 0.005)
    return f"{wall:.0f} s: {listed}"


def _rates(images: int, data: float, compute: float) -> dict[str, float]:
    training = data + compute
    # A checkpoint that lost its seconds may be the last one of a run.
    return {"images_per_s": images / training, "data_wait_fraction": data / training} if training else {}


def _of_earlier_version(timing: Mapping[str, float]) -> dict[str, float]:
    """The parts from `wall_s`, `compile_s`, `train_s` and the part of the latter that was spent on `data_wait_s`."""
    waited, compiled, trained = (timing.get(name, 0.0) for name in ("data_wait_s", "compile_s", "train_s"))
    other = max(timing.get("wall_s", 0.0) - compiled - trained, 0.0)
    return {"compile_s": compiled, "data_s": waited, "compute_s": trained - waited, "other_s": other}
