"""A file appears whole or not at all."""

import errno
import fcntl
import io
import os
import pathlib
import socket
import threading
from collections.abc import Mapping

import numpy as np

from align_jax.runtime.locks import WITHOUT_LOCKS


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
    temporary, descriptor = _temporary(path)
    with open(descriptor, "wb") as file:  # the lock ends with it
        try:
            file.truncate()
            file.write(content)
            file.flush()
            os.fsync(descriptor)
            os.replace(temporary, path)
        except BaseException:
            temporary.unlink(missing_ok=True)
            raise
    return path


def _temporary(path: pathlib.Path) -> tuple[pathlib.Path, int]:
    """A file beside `path` and its descriptor, for this writer alone.

    All writers share one name, and a lock. Where there are no locks, or another user's process left the file, each has
    its own. Not `tempfile`: its files are private to the user, but reports are shared.
    """
    shared = path.with_name(f".{path.name}.part")
    while True:
        try:
            descriptor = os.open(shared, os.O_RDWR | os.O_CREAT, 0o666)
        except PermissionError:
            break
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
            # Whoever had the lock before may have renamed the file.
            if _is_at(descriptor, shared):
                return shared, descriptor
        except OSError as error:
            os.close(descriptor)
            if error.errno not in WITHOUT_LOCKS:
                raise
            shared.unlink(missing_ok=True)
            break
        os.close(descriptor)
    own = path.with_name(f".{path.name}.{socket.gethostname()}.{os.getpid()}.{threading.get_ident()}.part")
    return own, os.open(own, os.O_RDWR | os.O_CREAT, 0o666)


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
