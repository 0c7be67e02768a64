"""Shows the progress of a long step of the preparation."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm

from align_jax.runtime.terminal import say


@contextlib.contextmanager
def progress_bar(title: str, total: int, unit: str, **options: Any) -> Iterator[tqdm]:
    """A bar on a terminal, a line elsewhere."""
    if not sys.stderr.isatty():
        say(f"{title} ...")
    with tqdm(total=total, desc=title, unit=unit, leave=False, disable=None, **options) as bar:
        yield bar
