"""Silences Orbax: its threads print what goes wrong, before and after the exception that says so."""

import logging
import sys
import warnings
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any


@contextmanager
def silent_orbax() -> Iterator[None]:
    """Inside the block Orbax and asyncio log nothing, as every step of every save would be told.

    Reads and writes that end after another one failed are told later, when Python collects them. They stay silent after
    the block, too; nothing else does.
    """
    loggers = [logging.getLogger(name) for name in ("absl", "asyncio")]
    levels = [logger.level for logger in loggers]
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)
        logger.addFilter(_is_no_late_end)
    sys.unraisablehook = _without_late_ends(sys.unraisablehook)
    warnings.filterwarnings("ignore", r"coroutine 'Store\..* was never awaited")
    try:
        yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)


def _without_late_ends(report: Callable[[Any], Any]) -> Callable[[Any], Any]:
    """A hook for exceptions that nobody can catch, which leaves out those of Orbax's late reads and writes."""

    def report_others(unraisable: Any) -> None:
        code = getattr(unraisable.object, "cr_code", None)
        of_orbax = code is not None and "orbax" in code.co_filename
        if not of_orbax and str(unraisable.exc_value) != "Event loop is closed":
            report(unraisable)

    # Once is enough.
    return report if getattr(report, "__qualname__", "") == report_others.__qualname__ else report_others


def _is_no_late_end(record: logging.LogRecord) -> bool:
    """A filter of the logs. Orbax's threads tell their failure themselves, asyncio that of a read nobody waited for."""
    text, failure = record.getMessage(), record.exc_info[1] if record.exc_info else None
    of_a_thread = "_SignalingThread.run() raised" in text or "in background save thread" in text
    return not of_a_thread and ("never retrieved" not in text or "tensorstore" not in str(failure))
