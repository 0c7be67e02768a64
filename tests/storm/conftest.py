"""What the storm starts from: runs that nothing happened to."""

import signal

import pytest

from tests.processes import finish, start, wait_for


@pytest.fixture(scope="session")
def uninterrupted(tmp_path_factory):
    """One complete run, by the command line."""
    run = tmp_path_factory.mktemp("whole") / "run"
    finish(run)
    return run


@pytest.fixture(scope="session")
def halfway(tmp_path_factory):
    """A run that was killed once its fourth step was saved: it has two checkpoints."""
    run = tmp_path_factory.mktemp("halfway") / "run"
    process = start(run)
    wait_for((run / "checkpoints" / "4").is_dir, process)
    process.send_signal(signal.SIGKILL)
    process.communicate()
    return run
