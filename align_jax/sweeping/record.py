"""`sweep.json`: every cell that was ever asked for in a folder, so that a table can show which ones are missing."""

import json
from collections.abc import Sequence
from pathlib import Path

from align_jax.errors import UserError
from align_jax.runs.untrusted_json import read_object
from align_jax.runtime.files import write_atomically
from align_jax.runtime.locks import lock
from align_jax.sweeping.cells import SweepCell


def record(workdir: Path, cells: Sequence[SweepCell]) -> None:
    """Adds the cells to `sweep.json`; the file is not written again if it has them all.

    Raises:
      UserError: the file exists and is not a sweep's.
    """
    path = workdir / "sweep.json"
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir / ".lock", wait=True):
        try:
            before = dict(read_object(path).content) if path.exists() else {"cells": []}
            by_path = {entry["path"]: entry for entry in before["cells"]}
        except (ValueError, KeyError, TypeError) as error:
            raise UserError(f"{path} is not the record of a sweep; move it away, or give another --workdir.") from error
        after = {"cells": list((by_path | {cell.path: cell.record() for cell in cells}).values())}
        if after != before:
            write_atomically(path, json.dumps(after, indent=2).encode())
