"""Reads a checkpoint: where its run stood, and its arrays. Whatever is wrong with it is a `BrokenFile`."""

import math
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, NamedTuple

import jax
from orbax.checkpoint import v1 as ocp

from align_jax.runs.checksums import METADATA, verify
from align_jax.runs.silence import silent_orbax
from align_jax.runs.untrusted_json import BrokenFile, Fields, as_float, read_object, reason, short
from align_jax.tables.table import shortened


class Position(NamedTuple):
    """What a run needs beside its states, all of it JSON.

    Attributes:
      step: classifier updates so far.
      data: the state of the data iterator.
      log_bytes: length of `metrics.jsonl`; what was written after it belongs to a future that did not happen.
      selected: the evaluation selected so far (`selection.Selected` as a dict), or None.
      timing: seconds so far, for the summary.
      unlogged: the metrics since the last line of the log, summed up: (total, examples) by name.
    """

    step: int
    data: dict[str, Any]
    log_bytes: int
    selected: dict[str, Any] | None
    timing: dict[str, float]
    unlogged: dict[str, tuple[float, float]]


def saved_steps(folder: Path) -> list[int]:
    """Steps with a checkpoint, oldest first; Orbax names a folder by its step once it is whole."""
    names = [path.name for path in folder.iterdir()] if folder.is_dir() else []
    # Not 08, which is no name that Orbax would give.
    return sorted(int(name) for name in names if name.isascii() and name.isdecimal() and name == str(int(name)))


def read_position(checkpoint: Path) -> Position:
    """Where data, log and selection stood when the checkpoint was saved, checked field by field."""
    path = checkpoint / METADATA
    position = Fields(read_object(path).required("custom_metadata", dict), path)
    selected = None
    if position.optional("selected", dict) is not None:
        best = position.object("selected")
        numbers = {name: best.number(name) for name in ("score", "validation_accuracy")}
        if None in numbers.values():
            raise best.broken("has a selected evaluation without its numbers")
        selected = {"step": best.required("step", int)} | numbers
    timing = position.object("timing")
    step, log_bytes = position.required("step", int), position.required("log_bytes", int)
    if step != int(checkpoint.name) or log_bytes < 0:
        raise position.broken(f"is of step {step} and {log_bytes} bytes of log, which cannot be")
    seconds = {name: timing.number(name) or 0.0 for name in timing.content}
    return Position(step, position.required("data", dict), log_bytes, selected, seconds, _sums(position))


def _sums(position: Fields) -> dict[str, tuple[float, float]]:
    """The metrics since the last line of the log; none in a checkpoint of an earlier version."""
    fields, sums = position.object("unlogged"), {}
    for name, value in fields.content.items():
        pair = [as_float(number) for number in value] if isinstance(value, list) else []
        match pair:
            case [float(total), float(examples)] if math.isfinite(total) and examples > 0:
                sums[name] = total, examples
            case _:
                raise fields.broken(f"has {shortened(name)} = {short(value)}, which is not a sum over examples")
    return sums


def check_usable(checkpoint: Path, like: Any) -> bool:
    """Checks that a checkpoint is as it was saved; without checksums, that it can be read (by one process).

    Args:
      checkpoint: its folder.
      like: arrays with the shapes, dtypes and shardings of its states.

    Returns:
      Whether it has checksums.

    Raises:
      BrokenFile: what is wrong with it.
    """
    has_checksums = verify(checkpoint)
    read_position(checkpoint)
    if not has_checksums and jax.process_count() == 1:  # to restore takes all processes
        restored(checkpoint, like)
    return has_checksums


def restored(checkpoint: Path, like: Any) -> Any:
    """The states, with the shapes, dtypes and shardings of `like`."""
    abstract = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=leaf.sharding), like)
    with reading(checkpoint):
        return ocp.load_checkpointables(checkpoint.absolute(), {"states": abstract})["states"]


@contextmanager
def reading(checkpoint: Path) -> Iterator[None]:
    """Reads with Orbax, silently; a failure is a `BrokenFile`."""
    try:
        with silent_orbax():
            yield
    except (ValueError, KeyError, TypeError, OSError) as error:
        # A missing key is told in words about Orbax's own parts.
        why = "" if isinstance(error, KeyError) else f": {shortened(reason(error), 120)}"
        raise BrokenFile(checkpoint, f"cannot be read ({type(error).__name__}{why})") from error
