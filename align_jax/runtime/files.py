"""A file appears whole or not at all."""

import errno
import io
import os
import pathlib
from collections.abc import Mapping

import numpy as np

from align_jax.runtime.locks import lock


def real(path: pathlib.Path) -> pathlib.Path:
    """The absolute path without links. `Path.resolve` fails for a link to itself."""
    return pathlib.Path(os.path.realpath(path))


def write_atomically(path: pathlib.Path, content: bytes) -> pathlib.Path:
    """Writes beside `path` and renames, so that nobody ever reads half a file, even if the process is killed.

    What a killed process left is taken over by the next write of the same file.

    Raises:
      OSError: it cannot be written, or is there and is not a file: a rename would put a file in place of a device.
    """
    if path.exists() and not path.is_file():
        raise OSError(errno.EINVAL, "not a regular file", str(path))
    path.parent.mkdir(parents=True, exist_ok=True)
    # Not `tempfile`: its files are private to the user, but reports are shared.
    temporary = path.with_name(f".{path.name}.part")
    while True:
        with lock(temporary, wait=True) as descriptor:
            # Whoever had the lock before may have renamed the file.
            if descriptor is None or not _is_at(descriptor, temporary):
                continue
            try:
                with open(descriptor, "wb", closefd=False) as file:
                    file.truncate()
                    file.write(content)
                    file.flush()
                    os.fsync(descriptor)
                os.replace(temporary, path)
            except BaseException:
                temporary.unlink(missing_ok=True)
                raise
            return path


def _is_at(descriptor: int, path: pathlib.Path) -> bool:
    try:
        return os.path.samestat(os.fstat(descriptor), path.stat())
    except FileNotFoundError:
        return False


def write_arrays(path: pathlib.Path, arrays: Mapping[str, np.ndarray]) -> pathlib.Path:
    """A compressed .npz without pickles, whole or not at all."""
    content = io.BytesIO()
    np.savez_compressed(content, allow_pickle=False, **arrays)
    return write_atomically(path, content.getvalue())
