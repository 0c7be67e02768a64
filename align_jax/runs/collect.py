"""Finds runs under folders and reads what they report; what is broken or foreign is named, and left out.

The folders may come from anywhere: links that leave them are not followed.
"""

import os
import pathlib
from collections.abc import Sequence
from typing import NamedTuple

from align_jax.errors import UserError
from align_jax.runs.read import Run, read_run, setting_text
from align_jax.runs.untrusted_json import BrokenFile, Fields, printable, read_object, reason, short
from align_jax.tables.table import shortened

SKIPPED_FOLDERS = ("checkpoints", "tensorboard")


class PlannedCell(NamedTuple):
    """A run that a sweep planned; `sweep` is the folder whose sweep.json says so, `path` the run's folder."""

    sweep: pathlib.Path
    path: pathlib.Path
    method: str
    domain: str
    seed: int
    overrides: tuple[tuple[str, str], ...]


class Collection(NamedTuple):
    """What was found; `problems` are sentences, one a file that was left out."""

    runs: tuple[Run, ...]
    cells: tuple[PlannedCell, ...]
    problems: tuple[str, ...]


def collect(folders: Sequence[pathlib.Path]) -> Collection:
    """Reads every `summary.json` and `sweep.json` under the folders, in the order of their paths.

    Args:
      folders: run folders, or folders above them. A run that lies under several of them counts once.

    Raises:
      UserError: a folder does not exist.
    """
    runs: dict[pathlib.Path, Run] = {}
    cells: dict[pathlib.Path, PlannedCell] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(
                f"{printable(str(folder))} is not a folder: give the folders under which complete runs lie."
            )
        for path in _found(folder.resolve(), ("summary.json", "sweep.json"), problems):
            try:
                _check_inside(folder.resolve(), path)
                if path.name == "summary.json":
                    _check_inside(folder.resolve(), path.with_name("config.json"))
                    _check_inside(folder.resolve(), path.with_name("data.json"))
                    run = read_run(path.parent)
                    if not run.protocol:
                        raise BrokenFile(path, "lacks protocol")
                    if runs.setdefault(path.parent, run) is run:
                        problems += _not_finite_values(run)
                else:
                    planned, strays = read_sweep(path.parent)
                    problems += strays
                    for cell in planned:
                        cells.setdefault(cell.path, cell)
            except BrokenFile as error:
                problems.append(_left_out(error.problem))
    # The same broken file under two of the folders is one problem.
    return Collection(tuple(runs.values()), tuple(cells.values()), tuple(dict.fromkeys(problems)))


def read_sweep(workdir: pathlib.Path) -> tuple[list[PlannedCell], list[str]]:
    """The runs that WORKDIR/sweep.json plans, and a sentence for each cell that makes no sense.

    Raises:
      BrokenFile: the file is not a JSON object with a list of cells.
    """
    path = workdir / "sweep.json"
    cells, problems = [], []
    for content in read_object(path).items("cells", dict):
        cell = Fields(content, path)
        try:
            cells.append(
                PlannedCell(
                    sweep=workdir,
                    path=_resolved(workdir, cell),
                    method=cell.text("method"),
                    domain=cell.text("domain"),
                    seed=cell.required("seed", int),
                    overrides=tuple(
                        sorted((printable(n), setting_text(v)) for n, v in cell.object("overrides").content.items())
                    ),
                )
            )
        except BrokenFile as error:
            problems.append(_left_out(error.problem))
    return cells, problems


def _left_out(problem: str) -> str:
    return printable(f"{problem}: left out.")


def _found(folder: pathlib.Path, wanted: Sequence[str], problems: list[str]) -> list[pathlib.Path]:
    """Files of these names, sorted. Linked folders are not entered."""
    found = []

    def unreadable(error: OSError) -> None:
        problems.append(_left_out(f"{error.filename} cannot be read ({reason(error)})"))

    for place, below, files in os.walk(folder, onerror=unreadable):
        below[:] = sorted(name for name in below if name not in SKIPPED_FOLDERS and not name.startswith("."))
        found += [pathlib.Path(place) / name for name in sorted(set(files) & set(wanted))]
    return found


def _check_inside(folder: pathlib.Path, path: pathlib.Path) -> None:
    """Refuses a link that leaves the folder, or leads nowhere."""
    try:
        inside = not path.is_symlink() or path.resolve().is_relative_to(folder)
    except (OSError, RuntimeError):
        inside = False
    if not inside:
        raise BrokenFile(path, f"is a link that leaves {folder}")


def _not_finite_values(run: Run) -> list[str]:
    """A sentence for each value of the run that is not finite: a network that diverged must be seen."""
    tested = [
        (key, f"{shortened(result.domain)} ({shortened(result.role)})")
        for result in run.results
        for key in result.not_finite
    ]
    return [
        _left_out(f"{run.path / 'summary.json'} has a value of {shortened(key)} on {test} that is not finite")
        for key, test in tested + [("validation_accuracy", "the validation split")] * run.validation_is_not_finite
    ]


def _resolved(workdir: pathlib.Path, cell: Fields) -> pathlib.Path:
    relative = cell.required("path", str)
    try:
        run = (workdir / relative).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise cell.broken(f"has the path {short(relative)}, which is not a path") from error
    if not run.is_relative_to(workdir.resolve()):
        raise cell.broken(f"has the path {short(relative)}, which leaves its folder")
    return run
