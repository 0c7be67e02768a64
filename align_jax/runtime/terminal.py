"""What is printed for a person: names from anywhere cannot move the cursor, and no terminal is too simple for them."""

import io
import sys

from align_jax.errors import one_line


def say(line: str) -> None:
    """Prints a line to stderr; stdout is for results. What a terminal would obey, such as an escape, is replaced."""
    print(one_line(line), file=sys.stderr, flush=True)


def set_up_streams() -> None:
    """Makes stdout and stderr write each line at once, and letters that their encoding lacks as `\\u00e9`."""
    for stream in (sys.stdout, sys.stderr):
        if isinstance(stream, io.TextIOWrapper):
            stream.reconfigure(errors="backslashreplace", line_buffering=True)
