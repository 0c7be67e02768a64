"""Where numbers go: `metrics.jsonl`, one object a line, and TensorBoard beside it."""

import json
import math
import os
from pathlib import Path
from typing import Any

from tensorboardX import SummaryWriter

from align_jax.errors import UserError


class MetricsWriter:
    """Appends to a run's `metrics.jsonl` and TensorBoard events.

    Lines never hold NaN or infinity, which are not JSON: such a value is absent.
    """

    def __init__(self, run: Path, *, tensorboard: bool, from_byte: int = 0, from_step: int = 0) -> None:
        """Goes on at byte `from_byte` of the log, and after step `from_step` in TensorBoard.

        What lies behind is dropped: it belongs to a future that was lost.

        Raises:
          UserError: the log is shorter than that, so it is not the one that the checkpoint was saved with.
        """
        path = run / "metrics.jsonl"
        self._file = path.open("ab")
        size = path.stat().st_size
        if size < from_byte:
            raise UserError(
                f"{path} has {size} bytes, but its checkpoint was saved when it had {from_byte}: the file was changed; "
                "put it back, or start afresh in another --workdir."
            )
        os.truncate(path, from_byte)
        self._events = SummaryWriter(str(run / "tensorboard"), purge_step=from_step + 1) if tensorboard else None

    def write(self, step: int, split: str, values: dict[str, Any]) -> None:
        """One line with `step`, `split` and the values."""
        finite = {
            name: value for name, value in values.items() if not (isinstance(value, float) and not math.isfinite(value))
        }
        line = {"step": step, "split": split} | finite
        self._file.write(json.dumps(line).encode() + b"\n")
        self._file.flush()
        if self._events is not None:
            section = "/".join(str(values[name]) for name in ("role", "domain") if name in values) or split
            for name, value in finite.items():
                if isinstance(value, int | float) and not isinstance(value, bool):
                    self._events.add_scalar(f"{section}/{name}", value, step)

    def position(self) -> int:
        """The log's length in bytes, all of them on the disk: a checkpoint that refers to it must not outlive them."""
        os.fsync(self._file.fileno())
        return self._file.tell()

    def close(self) -> None:
        """Flushes both."""
        self._file.close()
        if self._events is not None:
            self._events.close()
