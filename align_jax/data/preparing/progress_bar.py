"""Shows the progress of a long step of the preparation."""

import contextlib
import sys
from collections.abc import Iterator
from typing import Any

from tqdm import tqdm


@contextlib.contextmanager
def progress_bar(title: str, total: int, unit: str, **options: Any) -> Iterator[tqdm]:
    """A bar on a terminal, a line elsewhere."""
    if not sys.stderr.isatty():
        print(f"{title} ...", file=sys.stderr, flush=True)
    with tqdm(total=total, desc=title, unit=unit, leave=False, disable=None, **options) as bar:
        yield bar
