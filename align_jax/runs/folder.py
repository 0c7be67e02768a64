"""A run's folder: its config, its summary, and whether it is complete."""

import json
from pathlib import Path
from typing import Any

import ml_collections

from align_jax.configuration import default_config
from align_jax.errors import UserError
from align_jax.runtime.files import write_atomically

# Settings that change how a run is carried out, but not what comes out of it.
FREE_TO_CHANGE = (
    "data.root",
    "data.prepared",
    "data.on_bad_image",
    "data.most_skipped",
    "data.threads",
    "data.prefetch",
    "tensorboard",
    "compare",
)


def check_run_folder(config: ml_collections.ConfigDict, run: Path) -> None:
    """Checks that a folder which holds a run holds one with this config.

    Raises:
      UserError: the folder holds a run with another config, or is a file.
    """
    path = run / "config.json"
    if run.exists() and not run.is_dir():
        raise UserError(f"--workdir {run} is a file; give a folder.")
    if path.exists():
        before = _flat(_read_object(path, "put it back, or give another --workdir"))
        now = _flat(json.loads(config.to_json()))
        # A field that the run's version did not have yet was what its default makes of it.
        before = _flat(json.loads(default_config().to_json())) | before
        changed = [
            field
            for field in sorted(before.keys() | now.keys())
            if before.get(field) != now.get(field) and field not in FREE_TO_CHANGE
        ]
        if changed:
            differences = "; ".join(f"config.{f} was {before.get(f)!r}, is {now.get(f)!r}" for f in changed[:4])
            raise UserError(
                f"{run} holds a run with another config ({differences}); give the same config to go on with it, "
                "or another --workdir."
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
    before = _read_object(path, "put it back, or give another --workdir")
    changed = [name for name in description if before.get(name) != description[name]]
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
    remedy = "delete it, and the same command makes it again from the run's last checkpoint"
    summary = _read_object(path, remedy)
    if not isinstance(summary.get("results"), list):
        raise UserError(f"{path} has no list of results; {remedy}.")
    return summary


def write_summary(run: Path, summary: dict[str, Any]) -> None:
    """Writes `summary.json`, whole or not at all: its presence says that the run is complete."""
    write_atomically(run / "summary.json", json.dumps(summary, indent=2, allow_nan=False).encode())


def _read_object(path: Path, remedy: str) -> dict[str, Any]:
    try:
        content = json.loads(path.read_text())
    except ValueError as error:
        raise UserError(f"{path} is not JSON ({error}); {remedy}.") from error
    if not isinstance(content, dict):
        raise UserError(f"{path} holds no JSON object; {remedy}.")
    return content


def _flat(nested: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    flat: dict[str, Any] = {}
    for name, value in nested.items():
        flat |= _flat(value, f"{prefix}{name}.") if isinstance(value, dict) else {f"{prefix}{name}": value}
    return flat
