"""A lock that the system takes back from processes that die, however they die."""

import errno
import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

# What file systems without locks answer.
WITHOUT_LOCKS = (errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP, errno.ENOLCK)


@contextmanager
def lock(path: Path, *, wait: bool = False) -> Iterator[int | None]:
    """Holds the lock on a file, which is made and stays.

    A process that inherits the file descriptor holds the lock too, also after this block, until it ends. On a file
    system without locks, every process is given one.

    Args:
      path: the lock's file; its folder exists.
      wait: for the process that holds it.

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
