"""A run's folder: its config, its summary, and whether it is complete."""

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import ml_collections

from align_jax.configuration import default_config
from align_jax.errors import UserError, listed, shown
from align_jax.moved_settings import with_new_names
from align_jax.runs.read import flat
from align_jax.runs.untrusted_json import read_object
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import check_utf8

# Settings that change how a run is carried out, but not what it learns. With another evaluation.batch_size the scores
# of an evaluation may differ by a rounding, as with another number of cores; training does not see them. With
# classifier.remat training differs by a rounding.
FREE_TO_CHANGE = (
    "data.root",
    "data.prepared",
    "data.on_bad_image",
    "data.most_skipped",
    "data.on_duplicate",
    "data.threads",
    "data.prefetch",
    "classifier.remat",
    "evaluation.batch_size",
    "checkpoint_every",
    "log_every",
    "tensorboard",
    "compare",
)


def check_run_folder(config: ml_collections.ConfigDict, run: Path) -> None:
    """Checks that a folder which holds a run holds one with this config.

    Raises:
      UserError: the folder holds a run with another config, is a file, or has a name that is not UTF-8.
    """
    check_utf8(run, "--workdir")
    path = run / "config.json"
    if run.exists() and not run.is_dir():
        raise UserError(f"--workdir {run} is a file; give a folder.")
    if path.exists():
        before = _settings(with_new_names(read_object(path).content))
        now = _settings(json.loads(config.to_json()))
        # A field that the run's version did not have yet had the value of its default.
        before = _settings(json.loads(default_config().to_json())) | before
        changed = [
            field
            for field in sorted(before.keys() | now.keys())
            if before.get(field) != now.get(field) and field not in FREE_TO_CHANGE
        ]
        if changed:
            differences = [f"config.{f} was {shown(before.get(f))}, is {shown(now.get(f))}" for f in changed]
            raise UserError(
                f"{run} holds a run with another config ({listed(differences, most=4)}); give the same config to go on "
                f"with it, or another --workdir. Only {', '.join(FREE_TO_CHANGE)} may change."
            )


def write_config(config: ml_collections.ConfigDict, run: Path) -> None:
    """Makes the run's folder with its `config.json`, which stays as it was first written."""
    if not (run / "config.json").exists():
        write_atomically(run / "config.json", config.to_json(indent=2, sort_keys=True).encode())


def check_or_write_data(description: dict[str, Any], run: Path) -> dict[str, Any]:
    """Writes `data.json`, or checks that a run goes on with the data that it began with.

    Args:
      description: see `data.domains.describe_data`; with `pretrained` where weights were read from a file.
      run: the run's folder.

    Returns:
      What the file says: a run that goes on is told there which weights it began with.

    Raises:
      UserError: the data set has changed since the run began.
    """
    path = run / "data.json"
    if not path.exists():
        write_atomically(path, json.dumps(description, indent=2).encode())
        return description
    before = dict(read_object(path).content)
    now = dict(description)
    if isinstance(before.get("examples"), dict):
        # A later version of a data set may have more tests: what a run trains on is as it was.
        now["examples"] = {split: n for split, n in now["examples"].items() if split in before["examples"]}
    changed = [name for name in now if before.get(name) != now[name]]
    if changed:
        raise UserError(
            f"{run} began with other data ({', '.join(changed)} changed since {path} was written); give it the same "
            "data, or another --workdir."
        )
    return before


def read_summary(run: Path) -> dict[str, Any] | None:
    """`summary.json`, or None while the run is not complete.

    Raises:
      UserError: the file is damaged.
    """
    path = run / "summary.json"
    if not path.exists():
        return None
    summary = read_object(path)
    summary.items("results", dict)
    return dict(summary.content)


def write_summary(run: Path, summary: dict[str, Any]) -> None:
    """Writes `summary.json`, whole or not at all: its presence says that the run is complete."""
    write_atomically(run / "summary.json", json.dumps(summary, indent=2, allow_nan=False).encode())


def _settings(nested: Mapping[str, Any]) -> dict[str, Any]:
    """By name, without groups that have no settings."""
    return {name: value for name, value in flat(nested).items() if value != {}}
