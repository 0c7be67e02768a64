"""A run's time, summed over its restarts: training, compiling, and waiting for data."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from align_jax.data.pipeline import TrainingBatches


class Clock:
    """Sums up seconds, and measures stretches of training, each from one line of the log to the next.

    It keeps the seconds of `compile_s`, `train_s` (without compiling) and `data_wait_s` (a part of `train_s`).
    """

    def __init__(self, before: Mapping[str, float], batches: TrainingBatches) -> None:
        """Continues from `before`, the `timing` of the last checkpoint; empty for a new run."""
        self._totals = {name: before.get(name, 0.0) for name in ("compile_s", "train_s", "data_wait_s")}
        self._wall_before, self._began = before.get("wall_s", 0.0), time.monotonic()
        self._batches = batches
        self.restart_stretch()

    def restart_stretch(self) -> None:
        """Begins a stretch now: the time since the last one, such as an evaluation, was not training."""
        self._stretch_began, self._waited_before = time.monotonic(), self._batches.waited_s

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """Counts the time inside the block as compiling, not as training."""
        began = time.monotonic()
        yield
        elapsed = time.monotonic() - began
        self._totals["compile_s"] += elapsed
        self._stretch_began += elapsed

    def end_stretch(self, images: int) -> dict[str, float]:
        """Ends the stretch and begins the next; returns images per second and the share of time spent on waiting."""
        elapsed, waited = self._stretch()
        self._totals["train_s"] += elapsed
        self._totals["data_wait_s"] += waited
        self.restart_stretch()
        return {"images_per_s": images / elapsed, "data_wait_fraction": waited / elapsed}

    def timing(self) -> dict[str, float]:
        """All totals with the stretch so far, and `wall_s`, as a checkpoint after an update keeps them."""
        elapsed, waited = self._stretch()
        return {
            "compile_s": self._totals["compile_s"],
            "train_s": self._totals["train_s"] + elapsed,
            "data_wait_s": self._totals["data_wait_s"] + waited,
            "wall_s": self._wall(),
        }

    def summary(self, images: int) -> dict[str, float]:
        """`timing` in `summary.json`, after training on `images` images."""
        return {
            "wall_s": self._wall(),
            "compile_s": self._totals["compile_s"],
            "data_wait_fraction": self._totals["data_wait_s"] / self._totals["train_s"],
            "images_per_s": images / self._totals["train_s"],
        }

    def _stretch(self) -> tuple[float, float]:
        """The seconds of the stretch so far, and those of them that were spent on waiting."""
        return time.monotonic() - self._stretch_began, self._batches.waited_s - self._waited_before

    def _wall(self) -> float:
        return self._wall_before + time.monotonic() - self._began
