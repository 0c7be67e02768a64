"""Runs of tests/tiny_config.py as processes: started as a user starts them, so that they can be killed and resumed."""

import json
import os
import subprocess
import sys
import time
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

ROOT = Path(__file__).parents[1]


def command(workdir, *overrides):
    return [
        sys.executable, str(ROOT / "launch" / "main.py"), f"--config={ROOT / 'tests' / 'tiny_config.py'}",
        f"--workdir={workdir}", *overrides,
    ]  # fmt: skip


def environment():
    return os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}


def start(workdir, *overrides):
    return subprocess.Popen(command(workdir, *overrides), env=environment(), stderr=subprocess.PIPE, text=True)


def finish(workdir, *overrides):
    """Goes on with the run to its end; returns what it said."""
    process = start(workdir, *overrides)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == 0, errors
    return errors


def states(run, step=8):
    """The states in a checkpoint: both networks, their optimisers and their steps."""
    checkpointer = ocp.training.Checkpointer((run / "checkpoints").absolute())
    try:
        return jax.tree.map(np.asarray, checkpointer.load_checkpointables(step)["states"])
    finally:
        checkpointer.close()


def wait_for(condition, process, seconds=300):
    deadline = time.monotonic() + seconds
    while not condition():
        if process.poll() is not None or time.monotonic() > deadline:
            pytest.fail(f"ended before it could be stopped: {process.stderr.read()}")
        time.sleep(0.002)


TIMES = ("images_per_s", "data_wait_fraction")


def log_without_times(run):
    """The lines of the log, but for the speed."""
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return [
        {name: value for name, value in line.items() if name not in TIMES and not name.startswith("seconds/")}
        for line in lines
    ]


def same_but_for_timing(first, second):
    """The summaries are equal except for the timing, and every example got the same probabilities."""
    summaries = [json.loads((run / "summary.json").read_text()) for run in (first, second)]
    for summary in summaries:
        del summary["timing"]
    assert summaries[0] == summaries[1]
    predictions = [np.load(run / "predictions.npz") for run in (first, second)]
    assert predictions[0].files == predictions[1].files
    for name in predictions[0].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])


def same_results(first, second):
    """Nothing of two complete runs differs, but for the seconds that they took."""
    jax.tree.map(np.testing.assert_array_equal, states(first), states(second))
    assert log_without_times(first) == log_without_times(second)
    same_but_for_timing(first, second)
