"""The run's numbers as TensorBoard reads them."""

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from tensorboardX.event_file_writer import EventsWriter
from tensorboardX.proto.event_pb2 import Event, SessionLog
from tensorboardX.proto.summary_pb2 import Summary
from tensorboardX.summary import scalar


class TensorBoardEvents:
    """An event file, written at once.

    tensorboardX's own `SummaryWriter` writes in a thread. If the disk is full the thread ends, and the training step
    that fills its queue waits for ever.
    """

    def __init__(self, folder: Path, *, from_step: int) -> None:
        """Opens a file in a folder; TensorBoard forgets what other files in it say about steps after `from_step`."""
        folder.mkdir(parents=True, exist_ok=True)
        self._writer = EventsWriter(str(folder / "events"), filename_suffix=f".{os.getpid()}")
        self._write(from_step + 1, session_log=SessionLog(status=SessionLog.START))

    def write(self, step: int, values: Mapping[str, float]) -> None:
        """Writes numbers by their names; what comes before a slash is the section that TensorBoard shows them in."""
        self._write(step, summary=Summary(value=[part for item in values.items() for part in scalar(*item).value]))

    def close(self) -> None:
        self._writer.close()

    def _write(self, step: int, **what: Any) -> None:
        self._writer.write_event(Event(wall_time=time.time(), step=step, **what))
        self._writer.flush()
