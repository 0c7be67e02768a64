"""`environment.json`: what each start of a run ran on, so that a number can be traced to the code that made it."""

import datetime
import importlib.metadata
import json
import os
import platform
import shlex
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import jax

from align_jax.runs.untrusted_json import BrokenFile, read_object
from align_jax.runtime.files import write_atomically

NAME = "environment.json"
PACKAGES = (
    *("align-jax", "jax", "jaxlib", "flax", "optax", "orbax-checkpoint", "grain", "numpy", "array_record"),
    *("opencv-python-headless", "pillow", "tensorflow-datasets", "libtpu", "jax-cuda13-plugin", "jax-cuda12-plugin"),
)
# The checkout, if the library runs from one.
ROOT = Path(__file__).parents[2]
GIT_S = 10
# A run that was started again and again keeps its first starts and its last ones.
MOST_STARTS = 100


def add_start(run: Path, command: Sequence[str]) -> None:
    """Adds this process to the list of starts in the run's `environment.json`.

    A file that is damaged is begun anew: it says what happened, and nothing depends on it.

    Args:
      run: the run's folder.
      command: as `sys.argv`.
    """
    path = run / NAME
    try:
        starts = read_object(path).items("starts", dict) if path.exists() else []
    except BrokenFile:
        starts = []
    kept = [*starts[: MOST_STARTS // 2], *starts[MOST_STARTS // 2 :][-(MOST_STARTS // 2 - 1) :]]
    content = {"starts": [*kept, describe_environment(command)]}
    write_atomically(path, json.dumps(content, indent=2).encode())


def describe_environment(command: Sequence[str]) -> dict[str, Any]:
    """Versions, devices, the commit of the checkout, and the command."""
    devices = jax.devices()
    return {
        "time": datetime.datetime.now(datetime.UTC).isoformat(timespec="seconds"),
        "command": shlex.join(command),
        "python": platform.python_version(),
        "system": platform.platform(),
        "cpus": os.cpu_count(),
        "packages": {name: version for name in PACKAGES if (version := _version(name))},
        "devices": {
            "platform": devices[0].platform,
            "kind": devices[0].device_kind,
            "count": len(devices),
            "processes": jax.process_count(),
        },
        "variables": {name: os.environ[name] for name in ("XLA_FLAGS", "LIBTPU_INIT_ARGS") if name in os.environ},
        **_commit(),
    }


def _version(package: str) -> str | None:
    try:
        return importlib.metadata.version(package)
    except importlib.metadata.PackageNotFoundError:
        return None


def _commit() -> dict[str, Any]:
    """The checkout's commit, and whether its files differ from it; nothing where there is none, or no git."""
    if not (ROOT / ".git").exists():
        return {}

    def git(*arguments: str) -> str:
        command = ["git", "-C", str(ROOT), *arguments]
        return subprocess.run(command, capture_output=True, text=True, timeout=GIT_S, check=True).stdout.strip()

    try:
        return {"commit": git("rev-parse", "HEAD"), "changed": bool(git("status", "--porcelain", "-uno"))}
    except (OSError, subprocess.SubprocessError):
        return {}


def this_command() -> list[str]:
    """As it was written, or close to it."""
    return ["python", *sys.argv]
