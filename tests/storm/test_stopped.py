"""Ctrl-C and SIGTERM in every part of a run: a clean end with the documented status, and the run goes on from there."""

import json
import signal
import time

import pytest

from tests.processes import finish, same_results, start, wait_for

pytestmark = pytest.mark.storm
# It is never waited for longer; how long each end took is printed.
MOST_S = 120


def last_line(run):
    """The last whole line of the log."""
    try:
        lines = (run / "metrics.jsonl").read_text().splitlines(keepends=True)
        return json.loads([line for line in lines if line.endswith("\n")][-1])
    except (FileNotFoundError, IndexError):
        return {}


def is_saving(run):
    """Orbax writes into a folder with `tmp` in its name."""
    return any((run / "checkpoints").glob("*tmp*")) if (run / "checkpoints").is_dir() else False


MOMENTS = {
    "compilation": lambda run: (run / "environment.json").exists(),
    "step": lambda run: last_line(run).get("phase") == "rounds",
    "evaluation": lambda run: last_line(run).get("split") == "validation",
    "save": is_saving,
    "final evaluation": lambda run: (run / "checkpoints" / "8").is_dir(),
    "report": lambda run: (run / "summary.json").exists(),
}


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
@pytest.mark.parametrize("moment", MOMENTS)
def test_asked_to_stop_it_ends_and_goes_on(uninterrupted, tmp_path, moment, number, status):
    run = tmp_path / "run"
    process = start(run)
    wait_for(lambda: MOMENTS[moment](run), process)
    asked = time.monotonic()
    process.send_signal(number)
    _, errors = process.communicate(timeout=MOST_S)
    print(f"{moment}, {number.name}: ended after {time.monotonic() - asked:.1f} s")
    assert "Traceback" not in errors
    # A report can be complete before the request is read.
    assert process.returncode in ((status, 0) if moment == "report" else (status,)), errors
    finish(run)
    same_results(run, uninterrupted)
    assert "<html" in (run / "report" / "index.html").read_text()
