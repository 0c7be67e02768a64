"""`sweep.json`: every cell that was ever asked for in a folder, so that a table can show what is missing."""

import json
from collections.abc import Sequence
from pathlib import Path

from align_jax.errors import UserError
from align_jax.runtime.files import write_atomically
from align_jax.runtime.locks import lock
from align_jax.sweeping.cells import Cell, union


def record(workdir: Path, cells: Sequence[Cell]) -> Path:
    """Adds the cells to those recorded before; the file is left alone where it has them all.

    Raises:
      UserError: the file is there and is not a sweep's.
    """
    path = workdir / "sweep.json"
    workdir.mkdir(parents=True, exist_ok=True)
    with lock(workdir / ".lock", wait=True):
        before = None
        if path.exists():
            try:
                before = json.loads(path.read_text())
                after = {"cells": union(before["cells"], cells)}
            except (ValueError, KeyError, TypeError) as error:
                raise UserError(
                    f"{path} is not the record of a sweep; move it away, or give another --workdir."
                ) from error
        else:
            after = {"cells": union([], cells)}
        if after != before:
            write_atomically(path, json.dumps(after, indent=2).encode())
    return path
