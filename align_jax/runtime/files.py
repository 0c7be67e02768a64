"""A file appears whole or not at all."""

import io
import os
import pathlib
from collections.abc import Mapping

import numpy as np


def write_atomically(path: pathlib.Path, content: bytes) -> pathlib.Path:
    """Writes beside `path` and renames, so that nobody ever reads half a file, even if the process is killed."""
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its files are private to the user, but reports are shared.
    temporary = path.with_name(f".{path.name}.{os.getpid()}")
    try:
        with temporary.open("wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, path)
    finally:
        temporary.unlink(missing_ok=True)
    return path


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> pathlib.Path:
    """A compressed .npz without pickles, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return write_atomically(path, content.getvalue())
