"""kill -9 at any moment: nothing that was saved is lost, and the run ends as if nothing had happened."""

import random
import signal
import subprocess
import time

import pytest

from align_jax.runs.read_checkpoint import saved_steps
from tests.processes import finish, same_results, start

pytestmark = pytest.mark.storm
KILLS = 20


def test_runs_that_are_killed_at_20_random_moments_end_bit_identical(uninterrupted, tmp_path):
    """Each start goes on where the one before was killed, and is killed within the time that a whole run takes."""
    began = time.monotonic()
    finish(tmp_path / "timed")
    whole_s = time.monotonic() - began
    moments = random.Random(0)
    kills, number = 0, 0
    while kills < KILLS:
        run = tmp_path / f"run{number}"
        before = _newest(run)
        process = start(run)
        try:
            process.communicate(timeout=moments.uniform(0, whole_s))
        except subprocess.TimeoutExpired:
            process.send_signal(signal.SIGKILL)
            process.communicate()
            kills += 1
            assert _newest(run) >= before, "a checkpoint was lost"
            continue
        assert process.returncode == 0
        same_results(run, uninterrupted)
        number += 1
    finish(run)
    same_results(run, uninterrupted)
    print(f"{kills} kills in {number + 1} runs of {whole_s:.0f} s")


def _newest(run):
    return max(saved_steps(run / "checkpoints"), default=0)
