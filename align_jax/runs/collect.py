"""Finds runs under folders and reads what they report; what is broken or foreign is named, and left out.

The files may come from anywhere: they are read as `untrusted_json` reads, links that leave the folder are not followed,
nothing is unpickled.
"""

import json
import os
import pathlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from align_jax.errors import UserError
from align_jax.reporting import names
from align_jax.runs.untrusted_json import Fields, left_out, number, printable, read_object, short

SKIPPED_FOLDERS = ("checkpoints", "tensorboard")

SHARES = ("accuracy", "balanced_accuracy", "auc", "insertion_auc", "mask_iou", "cam_energy")
"""Metrics in [0, 1]; other numbers of a result need only be finite."""

ABOUT_A_RESULT = ("domain", "role", "split", "examples", "faithfulness_images", "per_class_accuracy")
"""What a result says beside its measurements."""


@dataclass(frozen=True)
class Result:
    """One test of a run.

    Attributes:
      examples: how many images were tested.
      values: finite ones; a metric that does not apply is absent.
      faithfulness_images: on how many of the images faithfulness was measured.
      not_finite: metrics, or `per_class_accuracy/CLASS`, whose value is NaN or infinite.
    """

    domain: str
    role: str
    split: str
    examples: int | None
    values: Mapping[str, float]
    per_class_accuracy: Mapping[str, float]
    faithfulness_images: int | None = None
    not_finite: tuple[str, ...] = ()


@dataclass(frozen=True)
class Weights:
    """What the classifier began with."""

    source: str
    sha256: str


@dataclass(frozen=True)
class CollectedRun:
    """A complete run.

    Attributes:
      config: flat (`optim.lr`), its values as JSON writes them.
      weights: None where it began with none, or does not say with which.
      examples: what its data.json says of the splits, trained on or tested, by domain, "" and split.
    """

    path: pathlib.Path
    algorithm: str
    guidance: str
    dataset: str
    protocol: str
    domain: str
    seed: int
    step: int | None
    best_step: int | None
    selection: str
    validation_accuracy: float | None
    train_domains: tuple[str, ...]
    held_out_domains: tuple[str, ...]
    class_names: tuple[str, ...]
    results: tuple[Result, ...]
    config: Mapping[str, str]
    weights: Weights | None = None
    validation_is_not_finite: bool = False
    examples: Mapping[tuple[str, str, str], int] = field(default_factory=dict)


@dataclass(frozen=True)
class SweepCell:
    """A run that a sweep planned; `sweep` is the folder whose sweep.json says so, `path` the run's folder."""

    sweep: pathlib.Path
    path: pathlib.Path
    method: str
    domain: str
    seed: int
    overrides: tuple[tuple[str, str], ...]


@dataclass(frozen=True)
class Collection:
    """What was found; `problems` are sentences, one a file that was left out."""

    runs: tuple[CollectedRun, ...]
    cells: tuple[SweepCell, ...]
    problems: tuple[str, ...]


def collect(folders: Sequence[pathlib.Path]) -> Collection:
    """Reads every `summary.json` and `sweep.json` under the folders, in the order of their paths.

    Args:
      folders: run folders, or folders above them. A run that lies under several of them counts once.

    Raises:
      UserError: a folder does not exist.
    """
    runs: dict[pathlib.Path, CollectedRun] = {}
    cells: dict[pathlib.Path, SweepCell] = {}
    problems: list[str] = []
    for folder in folders:
        if not folder.is_dir():
            raise UserError(f"{printable(str(folder))} is no folder: give the folders under which complete runs lie.")
        for path in _found(folder.resolve(), ("summary.json", "sweep.json"), problems):
            try:
                _check_inside(folder.resolve(), path)
                if path.name == "summary.json":
                    for beside in ("config.json", "data.json"):
                        _check_inside(folder.resolve(), path.with_name(beside))
                    if path.parent not in runs:
                        runs[path.parent] = read_collected_run(path.parent)
                        problems += _not_finite_values(runs[path.parent])
                else:
                    sweep_cells, strays = read_sweep(path.parent)
                    problems += strays
                    for cell in sweep_cells:
                        cells.setdefault(cell.path, cell)
            except UserError as error:
                problems.append(str(error))
    # The same broken file under two of the folders is one problem.
    return Collection(tuple(runs.values()), tuple(cells.values()), tuple(dict.fromkeys(map(printable, problems))))


def read_collected_run(run: pathlib.Path) -> CollectedRun:
    """Reads a run's summary.json and config.json, and its data.json where it has one.

    Raises:
      UserError: one of them is missing, broken or foreign; the message names the file, and says that it is left out.
    """
    path = run / "summary.json"
    summary = Fields(read_object(path), path)
    validation_accuracy = number(summary.content, "validation_accuracy", path, share=True)
    results = [_result(row, path) for row in summary.items("results", dict)]
    tests = [(result.role, result.domain) for result in results]
    if len(set(tests)) < len(tests):
        raise left_out(path, "has two results of one domain and role")
    protocol = summary.text("protocol")
    if protocol not in names.PROTOCOLS:
        raise left_out(path, f"has the protocol {protocol!r}, which is none of {', '.join(names.PROTOCOLS)}")
    class_names = tuple(printable(name) for name in summary.items("class_names", str))
    if not class_names or len(set(class_names)) < len(class_names):
        raise left_out(path, "has no class_names, or one of them twice")
    return CollectedRun(
        path=run,
        algorithm=summary.text("algorithm"),
        guidance=summary.text("guidance"),
        dataset=summary.text("dataset"),
        protocol=protocol,
        domain=summary.text("domain"),
        seed=summary.whole("seed"),
        step=summary.whole_or_none("step"),
        best_step=summary.whole_or_none("best_step"),
        selection=summary.text("selection"),
        validation_accuracy=validation_accuracy,
        validation_is_not_finite=validation_accuracy is None and summary.content.get("validation_accuracy") is not None,
        train_domains=tuple(printable(name) for name in summary.items("train_domains", str)),
        held_out_domains=tuple(printable(name) for name in summary.items("held_out_domains", str)),
        class_names=class_names,
        results=tuple(results),
        config=read_flat_config(run / "config.json"),
        weights=_weights(summary.content.get("pretrained"), path),
        examples=_examples(run / "data.json"),
    )


def read_flat_config(path: pathlib.Path) -> dict[str, str]:
    """`{"optim": {"lr": 1e-3}}` as `{"optim.lr": "0.001"}`, so that settings can be compared and printed.

    Raises:
      UserError: the file is missing or no JSON object.
    """
    flat: dict[str, str] = {}
    todo: list[tuple[str, Any]] = [("", read_object(path))]
    while todo:
        prefix, value = todo.pop()
        if isinstance(value, dict) and (value or not prefix):
            todo += [(f"{prefix}.{name}" if prefix else name, part) for name, part in value.items()]
        else:
            flat[printable(prefix)] = setting_text(value)
    return dict(sorted(flat.items()))


def setting_text(value: Any) -> str:
    """A setting as a table shows it: JSON without the quotes of a plain string."""
    if isinstance(value, str) and value and value == value.strip():
        return printable(value)
    try:
        return printable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "(nested too deeply)"


def read_sweep(workdir: pathlib.Path) -> tuple[list[SweepCell], list[str]]:
    """The runs that WORKDIR/sweep.json plans, and a sentence for each cell that makes no sense.

    Raises:
      UserError: the file is no JSON object with a list of cells.
    """
    path = workdir / "sweep.json"
    cells, problems = [], []
    for content in Fields(read_object(path), path).items("cells", dict):
        cell = Fields(content, path)
        try:
            run = _resolved(workdir, cell.raw("path", str), path)
            cells.append(
                SweepCell(
                    sweep=workdir,
                    path=run,
                    method=cell.text("method"),
                    domain=cell.text("domain"),
                    seed=cell.whole("seed"),
                    overrides=_overrides(content.get("overrides"), path),
                )
            )
        except UserError as error:
            problems.append(str(error))
    return cells, problems


def _found(folder: pathlib.Path, wanted: Sequence[str], problems: list[str]) -> list[pathlib.Path]:
    """Files of these names, sorted. Linked folders are not entered."""
    found = []

    def unreadable(error: OSError) -> None:
        problems.append(f"{error.filename} cannot be read ({(error.strerror or 'error').lower()}): left out.")

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
        raise left_out(path, f"is a link that leaves {folder}")


def _result(row: Mapping[str, Any], path: pathlib.Path) -> Result:
    fields = Fields(row, path)
    per_class = row.get("per_class_accuracy") or {}
    if not isinstance(per_class, dict):
        raise left_out(path, "has a per_class_accuracy that is no object")
    values = {
        printable(key): number(row, key, path, share=key in SHARES or key.removeprefix("random_") in SHARES)
        for key in row
        if key not in ABOUT_A_RESULT
    }
    by_class = {printable(name): number(per_class, name, path, share=True) for name in per_class}
    split = printable(str(row.get("split", "")))
    return Result(
        domain=fields.text("domain"),
        role="validation" if split == "validation" else fields.text("role"),
        split=split,
        examples=fields.whole_or_none("examples"),
        faithfulness_images=fields.whole_or_none("faithfulness_images"),
        values={key: value for key, value in values.items() if value is not None},
        per_class_accuracy={name: value for name, value in by_class.items() if value is not None},
        not_finite=(
            *(key for key, value in values.items() if value is None and row.get(key) is not None),
            *(
                f"per_class_accuracy/{name}"
                for name, value in by_class.items()
                if value is None and per_class.get(name)
            ),
        ),
    )


def _not_finite_values(run: CollectedRun) -> list[str]:
    """A sentence for each value of the run that is no finite number: a network that diverged must not go unseen."""
    tested = [
        (key, f"{names.shortened(result.domain)} ({result.role})")
        for result in run.results
        for key in result.not_finite
    ]
    return [
        f"{run.path / 'summary.json'} has a value of {names.shortened(key)} on {test} that is not finite: left out."
        for key, test in tested + [("validation_accuracy", "the validation split")] * run.validation_is_not_finite
    ]


def _weights(value: Any, path: pathlib.Path) -> Weights | None:
    if value is None:
        return None
    if not isinstance(value, dict):
        raise left_out(path, f"has pretrained = {short(value)}, which is no object")
    fields = Fields(value, path)
    sha256 = fields.text("sha256")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise left_out(path, f"has sha256 = {short(sha256)}, which is no such checksum")
    return Weights(fields.text("source"), sha256)


def _examples(path: pathlib.Path) -> dict[tuple[str, str, str], int]:
    """`{"examples": {"train": {"SUN09": 2626}}}` as `{("SUN09", "", "train"): 2626}`."""
    if not path.exists():
        return {}
    splits = read_object(path).get("examples") or {}
    if not isinstance(splits, dict) or not all(isinstance(of_split, dict) for of_split in splits.values()):
        raise left_out(path, "has examples that are no object of objects")
    return {
        (printable(domain), "", printable(split)): Fields(of_split, path).whole(domain)
        for split, of_split in splits.items()
        for domain in of_split
    }


def _overrides(value: Any, path: pathlib.Path) -> tuple[tuple[str, str], ...]:
    """`{"optim.lr": 1e-3}` or `["--config.optim.lr=1e-3"]` as sorted pairs."""
    if isinstance(value, dict):
        pairs = [(name, setting_text(part)) for name, part in value.items()]
    elif isinstance(value, list) and all(isinstance(part, str) for part in value):
        pairs = [(name, text) for name, _, text in (part.partition("=") for part in value)]
    elif value is None:
        pairs = []
    else:
        raise left_out(path, f"has overrides = {short(value)}, which is no object and no list of text")
    return tuple(sorted((printable(name.lstrip("-").removeprefix("config.")), printable(t)) for name, t in pairs))


def _resolved(workdir: pathlib.Path, relative: str, path: pathlib.Path) -> pathlib.Path:
    try:
        run = (workdir / relative).resolve()
    except (OSError, ValueError, RuntimeError) as error:
        raise left_out(path, f"has the path {short(relative)}, which is none") from error
    if not run.is_relative_to(workdir.resolve()):
        raise left_out(path, f"has the path {short(relative)}, which leaves its folder")
    return run
