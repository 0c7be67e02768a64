"""Copies a prepared data set to where it will be read."""

import hashlib
import os
import shutil
from pathlib import Path

from align_jax.data.preparing.progress_bar import progress_bar
from align_jax.errors import UserError
from align_jax.runtime.interruption import stop_if_asked, stop_request

# TFDS writes this file last. A folder that has it is a whole data set.
LAST_FILE = "dataset_info.json"


def copy_prepared(source: Path, target: Path) -> None:
    """Copies a prepared data set's folder, or completes a copy that was begun.

    Each file is written under another name, read back and compared, then renamed. `dataset_info.json` comes last, and
    is removed from `target` first if anything has changed: half a copy never looks like a whole one.

    Raises:
      UserError: what was read back differs from what was written.
    """
    files = sorted(
        (path for path in source.rglob("*") if path.is_file()), key=lambda path: (path.name == LAST_FILE, path)
    )
    size = sum(path.stat().st_size for path in files)
    with (
        stop_request("ending after this file"),
        progress_bar(f"Copying to {target}", size, "B", unit_scale=True) as bar,
    ):
        for path in files:
            stop_if_asked(f"the copy in {target} is not whole, and the same command completes it.")
            destination = target / path.relative_to(source)
            checksum = _checksum(path)
            if not (destination.is_file() and _checksum(destination) == checksum):
                (target / LAST_FILE).unlink(missing_ok=True)
                destination.parent.mkdir(parents=True, exist_ok=True)
                temporary = destination.with_name(f".{destination.name}.copying")
                with path.open("rb") as read, temporary.open("wb") as written:
                    shutil.copyfileobj(read, written, 1 << 20)
                    written.flush()
                    os.fsync(written.fileno())
                if _checksum(temporary) != checksum:
                    temporary.unlink()
                    raise UserError(f"{destination} reads back differently; check the disk, and copy again.")
                os.replace(temporary, destination)
            bar.update(path.stat().st_size)


def _checksum(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()
