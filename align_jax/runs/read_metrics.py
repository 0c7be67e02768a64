"""Reads the log of a run, `metrics.jsonl`, which may come from anywhere."""

import pathlib
from collections.abc import Mapping
from typing import NamedTuple

from align_jax.runs.untrusted_json import (
    MOST_INTEGER,
    BrokenFile,
    Fields,
    as_float,
    parse_object,
    printable,
    read_bytes,
)

ABOUT_A_LINE = ("step", "split", "phase", "role", "domain")
"""What a line of metrics.jsonl says beside its measurements."""

# A line for each of a million steps.
MOST_METRICS_BYTES = 2**30


class Line(NamedTuple):
    """A line of metrics.jsonl; text that it does not say is empty, and `values` may be NaN or infinite."""

    step: float
    split: str
    phase: str
    role: str
    domain: str
    values: Mapping[str, float]


class Metrics(NamedTuple):
    """The lines of metrics.jsonl in the order of their steps."""

    training: tuple[Line, ...]
    evaluations: tuple[Line, ...]


def read_metrics(folder: pathlib.Path) -> Metrics:
    """Reads a run's metrics.jsonl. Where a resumed run wrote the same step twice, the later line counts.

    Raises:
      BrokenFile: the file is missing, or a line is broken. Only a cut-off last line, as a killed writer leaves it, is
        forgiven (and dropped).
    """
    path = folder / "metrics.jsonl"
    lines = read_bytes(path, MOST_METRICS_BYTES).rstrip().split(b"\n")
    training: dict[float, Line] = {}
    evaluations: dict[tuple[float, str, str, str], Line] = {}
    for number, content in enumerate(lines, start=1):
        if not content.strip():
            continue
        try:
            fields = parse_object(content, path, number)
        except BrokenFile:
            if number == len(lines):
                break
            raise
        line = _line(fields)
        if line.split in ("", "train"):
            training[line.step] = line
        else:
            evaluations[line.step, line.split, line.role, line.domain] = line
    return Metrics(
        tuple(training[step] for step in sorted(training)), tuple(evaluations[key] for key in sorted(evaluations))
    )


def _line(fields: Fields) -> Line:
    step = fields.number("step")
    if step is None:
        raise fields.broken("lacks a step that is finite")
    if abs(step) > MOST_INTEGER:
        raise fields.broken(f"has step = {step:g}, which is too large")
    split = fields.optional_text("split")
    values = {printable(key): as_float(value) for key, value in fields.content.items() if key not in ABOUT_A_LINE}
    return Line(
        step=step,
        split=split,
        phase=fields.optional_text("phase"),
        role="validation" if split == "validation" else fields.optional_text("role"),
        domain=fields.optional_text("domain"),
        values={key: value for key, value in values.items() if value is not None},
    )
