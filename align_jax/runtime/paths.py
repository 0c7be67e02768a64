"""What a person writes as a path: `~` is the home folder, and `gs://...` is not a path on this machine.

A run needs locks, files that grow, and renames that happen at once. A bucket's own interface has none of them, and a
bucket that is mounted has them: see docs/launching.md.
"""

import os
import re
from pathlib import Path

from align_jax.errors import UserError


def local_path(text: str | Path, name: str) -> Path:
    """The path that a person wrote, with `~` expanded; the same again for a path that this function returned.

    Args:
      text: as it was written.
      name: of the flag or argument, for the error message.

    Raises:
      UserError: it is empty, as `--workdir=$UNSET` is, or a bucket's or another URL.
    """
    if not str(text):
        raise UserError(f"{name} is empty, as a variable that is not set; write a path, or leave it out.")
    refuse_url(text, f"{name}={text}")
    path = Path(os.path.expanduser(text))
    # `./~` is a folder of that name, and `Path` leaves out the `./`.
    return path.absolute() if str(path).startswith("~") else path


def refuse_url(text: str | Path, shown: str) -> None:
    """Refuses `gs://...` and the like.

    Args:
      text: the path.
      shown: how the sentence names it.

    Raises:
      UserError: it is a URL.
    """
    if is_url(text):
        raise UserError(
            f"{shown} is not a path on this machine, and a run needs a file system, with locks and renames; mount the "
            "bucket (gcsfuse, or SkyPilot's mode: MOUNT) or fetch the file, and give the path that it has then."
        )


def check_utf8(folder: Path, name: str) -> None:
    """Refuses a folder that Orbax and TFDS cannot write to or read from.

    Raises:
      UserError: its path has bytes that are not UTF-8.
    """
    try:
        str(folder.absolute()).encode()
    except UnicodeEncodeError as error:
        raise UserError(
            f"{name} {folder} has a name that is not UTF-8, which checkpoints and prepared data cannot have; rename "
            "it, or give a link to it that has another name."
        ) from error


def is_url(text: str | Path) -> bool:
    """Whether a path is `gs://...` or the like; a `Path` has collapsed the two slashes into one."""
    return re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(text)) is not None
