"""Where a run goes on: at its newest checkpoint that is as it was saved. A damaged one is moved aside, not deleted."""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Any, NamedTuple

from align_jax.errors import UserError
from align_jax.runs.checksums import without_checksums
from align_jax.runs.read_checkpoint import Position, check_usable, read_position, restored, saved_steps
from align_jax.runs.untrusted_json import BrokenFile
from align_jax.runtime.processes import from_writer


class Recovered(NamedTuple):
    """Where a run goes on.

    Attributes:
      position: without the selected evaluation if its checkpoint cannot be used any more.
      states: of both networks.
      notes: what the user must know about the checkpoints, a sentence each.
    """

    position: Position
    states: Any
    notes: list[str]


def recover(folder: Path, states: Any) -> Recovered:
    """Checks all checkpoints of a run before anything is restored, and restores the newest that can be used.

    Of several processes the writer checks and moves, and all of them restore.

    Args:
      folder: the run's `checkpoints/`, which no other process trains in.
      states: what a new run begins with; a checkpoint has their shapes, dtypes and shardings.

    Raises:
      UserError: there are checkpoints, and none of them can be used; nothing is moved then. Or the folder is a file.
    """
    has_checksums, problems = map(dict, from_writer(lambda: _checked(folder, states)))
    if not has_checksums:
        return Recovered(Position(0, {}, 0, None, {}, {}), states, [])
    newest = max(has_checksums)
    try:
        states = restored(folder / str(newest), states)
    except BrokenFile as error:
        raise UserError(
            f"{error.problem}, although its files are as they were saved: go on with the version of the library that "
            "saved it, or train again in another --workdir."
        ) from error
    position = read_position(folder / str(newest))
    selected = position.selected["step"] if position.selected else None
    notes = from_writer(lambda: _set_all_aside(folder, problems, newest, selected))
    if selected is not None and selected not in has_checksums:
        position = position._replace(selected=None)
        notes.append(
            f"WARNING the checkpoint of step {selected}, which was selected so far, is "
            f"{'damaged' if selected in problems else 'missing'}; the best one from step {newest} on is reported."
        )
    notes += [
        f"note: {without_checksums(folder / str(step))}."
        for step, checked in has_checksums.items()
        if not checked and step in (newest, selected)
    ]
    return Recovered(position, states, notes)


def _checked(folder: Path, states: Any) -> tuple[list[tuple[int, bool]], list[tuple[int, str]]]:
    """The usable checkpoints, and whether each has checksums; the others, and what is wrong with each."""
    if folder.exists() and not folder.is_dir():
        raise UserError(f"{folder} is a file, and must be the folder of the run's checkpoints; rename or delete it.")
    usable, problems = [], []
    for step in saved_steps(folder):
        try:
            usable.append((step, check_usable(folder / str(step), states)))
        except BrokenFile as error:
            problems.append((step, error.problem))
    if problems and not usable:
        raise UserError(
            f"None of the checkpoints in {folder} can be used ({'; '.join(why for _, why in problems[-3:])}); put back "
            "a whole copy of the folder, or train again in another --workdir."
        )
    return usable, problems


def _set_all_aside(folder: Path, problems: Mapping[int, str], newest: int, selected: int | None) -> list[str]:
    """Moves the damaged checkpoints aside; returns a sentence about each."""
    notes = []
    for step, problem in problems.items():
        kept = f"{problem}; it is kept as {_set_aside(folder / str(step))}"
        if step < newest and step != selected:
            why = "is damaged, or its deletion was cut off"
            notes.append(f"note: the checkpoint of step {step} {why}: {kept}, and the run does not need it.")
        else:
            notes.append(
                f"WARNING the checkpoint of step {step} is damaged: {kept}, and the run goes on from step {newest}."
            )
    return notes


def _set_aside(checkpoint: Path) -> Path:
    """Gives a damaged checkpoint another name, so that its step can be saved again."""
    aside, number = checkpoint.with_name(f"{checkpoint.name}.damaged"), 1
    while os.path.lexists(aside):
        number += 1
        aside = checkpoint.with_name(f"{checkpoint.name}.damaged{number}")
    checkpoint.rename(aside)
    return aside
