"""What a run shows while it trains: a progress bar on a terminal, plain lines elsewhere."""

import sys
import time

from tqdm import tqdm

from align_jax.runtime.processes import is_writer
from align_jax.runtime.terminal import say

# What is shown, in this order and under these names; everything else is in metrics.jsonl.
SHOWN = {
    "classifier/loss": "loss",
    "classifier/accuracy": "accuracy",
    "classifier/egl": "egl",
    "masker/loss": "masker",
    "masker/mask_mean": "mask",
}


class Progress:
    """Shows steps, losses, images per second and the remaining time; of several processes, one does."""

    def __init__(self, label: str, steps: int, start: int) -> None:
        self._label, self._steps, self._start = label, steps, start
        self._began = time.monotonic()
        self._bar, self._shown = None, is_writer()
        if self._shown and sys.stderr.isatty():
            self._bar = tqdm(total=steps, initial=start, desc=label, unit="step", dynamic_ncols=True)

    def advance(self, steps: int) -> None:
        """Moves the bar by `steps`."""
        if self._bar is not None:
            self._bar.update(steps)

    def show(self, step: int, values: dict[str, float], images_per_s: float) -> None:
        """Shows the losses of the last steps."""
        shown = {short: f"{values[name]:.3f}" for name, short in SHOWN.items() if name in values}
        if self._bar is not None:
            self._bar.set_postfix(shown | {"images/s": f"{images_per_s:.0f}"})
            return
        elapsed = time.monotonic() - self._began
        left = elapsed / max(step - self._start, 1) * (self._steps - step)
        losses = "  ".join(f"{name} {value}" for name, value in shown.items())
        self.say(f"step {step}/{self._steps}  {losses}  {images_per_s:.0f} images/s  {_clock(left)} left")

    def say(self, text: str) -> None:
        """Prints a line, above the bar if there is one."""
        if not self._shown:
            return
        if self._bar is not None:
            self._bar.clear()
        say(f"[{self._label}] {text}")
        if self._bar is not None:
            self._bar.refresh()

    def close(self) -> None:
        """Closes the bar, which stays on the terminal."""
        if self._bar is not None:
            self._bar.close()


def _clock(seconds: float) -> str:
    minutes, seconds = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    return f"{hours}:{minutes:02d}:{seconds:02d}" if hours else f"{minutes}:{seconds:02d}"
