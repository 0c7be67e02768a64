"""The log of a run's numbers: `metrics.jsonl`, one object per line, and TensorBoard beside it."""

import json
import math
import os
from pathlib import Path
from typing import Any

from align_jax.errors import UserError
from align_jax.training.tensorboard_events import TensorBoardEvents


class MetricsWriter:
    """Appends to a run's `metrics.jsonl` and TensorBoard events. NaN and infinity are left out: they are not JSON."""

    def __init__(self, run: Path, *, tensorboard: bool, from_byte: int, from_step: int) -> None:
        """Continues at byte `from_byte` of the log, and after step `from_step` in TensorBoard.

        Everything after that point is dropped: the resumed run writes it again. A log that was cut short since goes on
        behind its last whole line: a run is worth more than its log.

        Attributes:
          problem: a sentence about what the log has lost, or empty.

        Raises:
          UserError: a folder is in the log's place.
        """
        path = self._path = run / "metrics.jsonl"
        self.problem = ""
        if path.is_dir():
            raise UserError(f"{path} is a folder, and the run's log belongs there; move it away and start again.")
        with path.open("ab") as file:
            size = file.seek(0, os.SEEK_END)
            if size < from_byte:
                self.problem = (
                    f"{path} has {size} bytes, and it had {from_byte} at step {from_step}: lines are missing, and so "
                    "they are in the curves; to have them, stop, put the file back, and give the same command again."
                )
                from_byte = path.read_bytes().rfind(b"\n") + 1
            file.truncate(from_byte)
        self._events = TensorBoardEvents(run / "tensorboard", from_step=from_step) if tensorboard else None

    def write(self, step: int, split: str, values: dict[str, Any]) -> None:
        """Writes a line with `step`, `split` and the values."""
        finite = {name: value for name, value in values.items() if not isinstance(value, float) or math.isfinite(value)}
        # The file is closed between two lines, since a mounted bucket uploads it only then.
        with self._path.open("ab") as file:
            file.write(json.dumps({"step": step, "split": split} | finite).encode() + b"\n")
        if self._events is not None:
            section = "/".join(str(values[name]) for name in ("role", "domain") if name in values) or split
            numbers = {
                f"{section}/{name}": value
                for name, value in finite.items()
                if isinstance(value, int | float) and not isinstance(value, bool)
            }
            self._events.write(step, numbers)

    def position(self) -> int:
        """The length of the log in bytes, all of them on the disk: a checkpoint must not refer to lost bytes."""
        with self._path.open("ab") as file:
            os.fsync(file.fileno())
            return file.seek(0, os.SEEK_END)

    def close(self) -> None:
        """Closes TensorBoard's events."""
        if self._events is not None:
            self._events.close()


class NoMetrics:
    """In place of a `MetricsWriter` in processes that write nothing."""

    problem = ""

    def write(self, step: int, split: str, values: dict[str, Any]) -> None: ...

    def position(self) -> int:
        """Only the writer's position is saved."""
        return 0

    def close(self) -> None: ...
