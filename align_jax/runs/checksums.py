"""Checksums of a checkpoint: a file in its folder that names every other file, with its size and its SHA-256.

They are written into the folder before it gets its name, so there is no moment at which a whole checkpoint lacks them.
Only an earlier version's checkpoints have none.
"""

import errno
import hashlib
import json
import os
from pathlib import Path
from typing import Any

from align_jax.errors import UserError
from align_jax.runs.untrusted_json import BrokenFile, read_object, reason
from align_jax.runtime.files import write_atomically

CHECKSUMS = "checksums.json"
# Orbax's description of a checkpoint, with the position; it adds the time of the end after the checksums are written.
METADATA = "_CHECKPOINT_METADATA"
_ADDED_LATER = "commit_timestamp_nsecs"
# Says that the checkpoint is whole, which its name says too; nothing reads it.
_MARKER = "commit_success.txt"


def write_checksums(checkpoint: Path) -> None:
    """Writes the checksums of all files in a checkpoint's folder beside them."""
    files = {name: _size_and_hash(path) for name, path in _files(checkpoint).items()}
    write_atomically(checkpoint / CHECKSUMS, json.dumps({"files": files}, indent=1).encode())


def verify(checkpoint: Path) -> bool:
    """Compares a checkpoint's files with their checksums.

    Returns:
      Whether it has any: an earlier version's checkpoint has none, and is only known to have its descriptions.

    Raises:
      BrokenFile: the folder or one of its files is missing, or is not as it was saved.
      UserError: a file may be whole, but cannot be read now.
    """
    if not checkpoint.is_dir():
        raise BrokenFile(checkpoint, "is not a folder" if checkpoint.exists() else "is missing")
    _check_readable(checkpoint)
    if not (checkpoint / CHECKSUMS).exists():
        for name in (METADATA, "states/_METADATA"):
            if not (checkpoint / name).is_file():
                raise BrokenFile(checkpoint, f"lacks {name}")
            read_object(checkpoint / name)
        return False
    saved = read_object(checkpoint / CHECKSUMS).required("files", dict)
    if METADATA not in saved:
        raise BrokenFile(checkpoint / CHECKSUMS, f"lacks {METADATA}")
    # The paths come from the folder, and none from the file.
    try:
        found = _files(checkpoint)
    except OSError as error:  # a run that goes on deletes it at this moment
        raise BrokenFile(checkpoint, f"cannot be read ({reason(error)})") from error
    missing = sorted(saved.keys() - found.keys())
    if missing:
        raise BrokenFile(checkpoint, f"lacks {missing[0][:200]}")
    for name in sorted(saved):
        try:
            size, digest = _size_and_hash(found[name])
        except OSError as error:
            raise BrokenFile(found[name], f"cannot be read ({reason(error)})") from error
        if saved[name] != [size, digest]:
            raise BrokenFile(found[name], f"is not as it was saved{_size_before(saved[name], size)}")
    return True


def _check_readable(checkpoint: Path) -> None:
    """Tells a checkpoint that cannot be read, by this user or at this moment, from a damaged one."""

    def refuse(error: OSError) -> None:
        if error.errno not in (errno.ENOENT, errno.EIO):
            raise UserError(
                f"{error.filename} cannot be read ({reason(error)}); mend that, and give the same command again."
            ) from error

    for folder, _, names in os.walk(checkpoint, onerror=refuse):
        for path in (Path(folder, name) for name in names):
            try:
                if path.is_file():
                    path.open("rb").close()
            except OSError as error:
                refuse(error)


def without_checksums(checkpoint: Path) -> str:
    """What is to be said of a checkpoint of an earlier version."""
    return f"{checkpoint} has no checksums, as an earlier version saved it: a changed bit would not be noticed"


def _files(checkpoint: Path) -> dict[str, Path]:
    """The files that have checksums, by their names from the checkpoint's folder."""
    paths = {path.relative_to(checkpoint).as_posix(): path for path in checkpoint.rglob("*") if path.is_file()}
    return {name: path for name, path in paths.items() if name not in (CHECKSUMS, _MARKER)}


def _size_and_hash(path: Path) -> tuple[int, str]:
    if path.name != METADATA:
        with path.open("rb") as file:
            return path.stat().st_size, hashlib.file_digest(file, "sha256").hexdigest()
    content = {name: value for name, value in read_object(path).content.items() if name != _ADDED_LATER}
    canonical = json.dumps(content, sort_keys=True).encode()
    return len(canonical), hashlib.sha256(canonical).hexdigest()


def _size_before(saved: Any, size: int) -> str:
    before = saved[0] if isinstance(saved, list) and saved else None
    return f": it has {size} bytes, not {before}" if isinstance(before, int) and before != size else ""
