"""Where a run's time goes, over its restarts: training, compiling, waiting for data. Evaluation is none of these."""

import time
from collections.abc import Iterator, Mapping
from contextlib import contextmanager

from align_jax.data.pipeline import TrainingBatches


class Clock:
    """Sums up seconds, and measures the stretch of training since it was last read.

    Attributes:
      totals: seconds of `compile_s`, `train_s` (compiling excluded) and `data_wait_s` (a part of `train_s`).
    """

    def __init__(self, before: Mapping[str, float], batches: TrainingBatches) -> None:
        """Goes on from what `timing` gave before a restart."""
        self.totals = {name: before.get(name, 0.0) for name in ("compile_s", "train_s", "data_wait_s")}
        self._wall_before, self._began = before.get("wall_s", 0.0), time.monotonic()
        self._batches = batches
        self.restart_stretch()

    def restart_stretch(self) -> None:
        """Begins a stretch of training, after something that was none."""
        self._stretch_began, self._waited_before = time.monotonic(), self._batches.waited_s

    @contextmanager
    def compiling(self) -> Iterator[None]:
        """What is inside is compilation, and not part of the stretch."""
        began = time.monotonic()
        yield
        elapsed = time.monotonic() - began
        self.totals["compile_s"] += elapsed
        self._stretch_began += elapsed

    def end_stretch(self, images: int) -> dict[str, float]:
        """Ends the stretch and begins the next: images a second, and the share of it spent waiting for data."""
        elapsed = time.monotonic() - self._stretch_began
        waited = self._batches.waited_s - self._waited_before
        self.totals["train_s"] += elapsed
        self.totals["data_wait_s"] += waited
        self.restart_stretch()
        return {"images_per_s": images / elapsed, "data_wait_fraction": waited / elapsed}

    def timing(self) -> dict[str, float]:
        """All totals with `wall_s`, as a checkpoint keeps them."""
        return self.totals | {"wall_s": self._wall_before + time.monotonic() - self._began}

    def summary(self, images: int) -> dict[str, float]:
        """As `summary.json` has it, after training on so many images."""
        timing = self.timing()
        return {
            "wall_s": timing["wall_s"],
            "compile_s": timing["compile_s"],
            "data_wait_fraction": timing["data_wait_s"] / timing["train_s"],
            "images_per_s": images / timing["train_s"],
        }
