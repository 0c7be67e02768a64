"""A lock that the system releases when its process ends, however it ends."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# The errors of file systems without locks.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Holds the lock on a file, which is made if it is missing and never removed.

    A process that inherits the file descriptor also holds the lock, even after this block, until that process ends. On
    a file system without locks every process gets the lock.

    Args:
      path: the lock's file; its folder exists.
      wait: whether to wait for another process that holds the lock.

    Yields:
      The locked file's descriptor, or None while another process holds the lock.
    """
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX if wait else fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            yield None
            return
        except OSError as error:
            if error.errno not in WITHOUT_LOCKS:
                raise
        yield descriptor
    finally:
        os.close(descriptor)
