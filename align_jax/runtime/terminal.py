"""What is printed for a person: names from anywhere cannot move the cursor, and no terminal is too simple for them."""

import io
import os
import sys
from typing import TextIO

from align_jax.errors import one_line


def say(line: str) -> None:
    """Prints a line to stderr; stdout is for results. What a terminal would obey, such as an escape, is replaced.

    Work goes on where nobody reads any more: the reader of `2>&1 | tee log` gets Ctrl-C, too.
    """
    try:
        print(one_line(line), file=sys.stderr, flush=True)
    except BrokenPipeError:
        to_nowhere(sys.stderr)


def show(text: str) -> None:
    """Prints a result to stdout. Its reader, such as `head`, may have seen enough."""
    try:
        print(text, flush=True)
    except BrokenPipeError:
        to_nowhere(sys.stdout)


def to_nowhere(stream: TextIO) -> None:
    """Replaces a terminal or a pipe that is gone by nothing."""
    nowhere = os.open(os.devnull, os.O_WRONLY)
    os.dup2(nowhere, stream.fileno())
    os.close(nowhere)


def set_up_streams() -> None:
    """Makes stdout and stderr write each line at once, and letters that their encoding lacks as `\\u00e9`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
