"""Where a run's seconds went, as a page shows it."""

from collections.abc import Mapping
from typing import NamedTuple

from align_jax.reporting.names import duration

# What `training.clock` charges seconds to, with the names and the meanings that a page has for them.
PARTS = {
    "start": ("Start", "finding or preparing the data, reading the checkpoint, making the networks"),
    "data": ("Waiting for data", "no batch was ready, and the device had nothing to do"),
    "compile": ("Compiling", "of every program"),
    "compute": ("Updates", "of classifier and masker"),
    "evaluation": ("Evaluation", "scores, explanations and galleries, with reading their images"),
    "saving": ("Saving", "checkpoints and results"),
    "other": ("Other", "what is left, such as the log"),
}


class Spent(NamedTuple):
    """A part of the time: its name and meaning, its length in words, and its share in percent of the whole."""

    title: str
    meaning: str
    duration: str
    percent: float


def time_spent(timing: Mapping[str, float]) -> list[Spent]:
    """The parts of a run's `timing`; none of a run of an earlier version, which did not tell them apart."""
    seconds = {part: timing[f"{part}_s"] for part in PARTS if timing.get(f"{part}_s", -1.0) >= 0}
    whole = sum(seconds.values())
    if len(seconds) < len(PARTS) or whole <= 0:
        return []
    return [Spent(*PARTS[part], duration(of_part), 100 * of_part / whole) for part, of_part in seconds.items()]


def in_words(timing: Mapping[str, float]) -> str:
    """`Updates 62 %, Compiling 20 %, ...`, the longest first; parts below one percent are left out."""
    longest = sorted(time_spent(timing), key=lambda spent: -spent.percent)
    return ", ".join(f"{spent.title.lower()} {spent.percent:.0f} %" for spent in longest if spent.percent >= 1)
