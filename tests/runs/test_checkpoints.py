"""A save that fails: one sentence, no noise, no thread that waits for ever, and the earlier checkpoint as it was."""

import concurrent.futures
import contextlib
import errno
import logging
import resource
import shutil
import sys
import threading
import time

import chex
import jax.numpy as jnp
import numpy as np
import pytest
from orbax.checkpoint._src.metadata.checkpoint import _NonBlockingMetadataStore

from align_jax.errors import UserError
from align_jax.runs.checkpoints import Checkpoints
from align_jax.runs.checksums import verify
from align_jax.runs.read_checkpoint import Position, read_position

# Many arrays, as many writes are under way when one fails.
STATES = {f"w{i}": jnp.arange(4096.0) + i for i in range(16)}


@contextlib.contextmanager
def disk_full():
    """No file may grow beyond a kilobyte, which fails as a full disk does."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1024, hard))
    try:
        yield
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))


def position(step):
    return Position(step, {"next_index": step}, 0, None, {}, {})


def save(checkpoints, *steps):
    for step in steps:
        checkpoints.save(STATES, position(step))


def save_and_close(checkpoints, *steps):
    save(checkpoints, *steps)
    checkpoints.close()


def check_threads_end():
    """The interpreter waits for all threads but these; it tells the workers of a pool to end."""
    harmless = {threading.main_thread(), *concurrent.futures.thread._threads_queues}
    for thread in threading.enumerate():
        if thread not in harmless and not thread.daemon:
            threading.Thread.join(thread, 30)  # Orbax's own raises the thread's error
            assert not thread.is_alive(), thread


@pytest.fixture(autouse=True)
def _as_a_command(monkeypatch):
    """Nothing else listens to what Orbax writes to."""
    monkeypatch.setattr(sys, "unraisablehook", sys.unraisablehook)
    for name in ("absl", "asyncio"):
        monkeypatch.setattr(logging.getLogger(name), "level", logging.getLogger(name).level)


def test_a_full_disk(tmp_path, capfd):
    save_and_close(Checkpoints(tmp_path), 2)
    capfd.readouterr()
    with disk_full(), pytest.raises(UserError, match=r"step 4 could not be saved .*has room.* goes on from step 2\."):
        save_and_close(Checkpoints(tmp_path), 4)
    check_threads_end()
    assert capfd.readouterr() == ("", "")

    # What the sentence advises works.
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        assert checkpoints.steps() == [2]
        chex.assert_trees_all_equal(checkpoints.restore(2, STATES), STATES)
        checkpoints.save(STATES, position(4))
    with contextlib.closing(Checkpoints(tmp_path)) as checkpoints:
        assert checkpoints.steps() == [2, 4]
        assert read_position(tmp_path / "4") == position(4)


def test_a_failed_save_is_said_by_the_next_one(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    with disk_full(), pytest.raises(UserError, match=r"step 2 could not be saved .* begins anew"):
        save(checkpoints, 2, 4)
    checkpoints.close()
    check_threads_end()


def test_a_step_whose_folder_cannot_be_made(tmp_path, capfd, monkeypatch):
    def makedirs(path, *args, **kwargs):
        raise OSError(errno.EROFS, "Read-only file system", path)

    checkpoints = Checkpoints(tmp_path)
    monkeypatch.setattr("os.makedirs", makedirs)
    with pytest.raises(UserError, match=r"step 2 could not be saved .*Read-only"):
        save_and_close(checkpoints, 2)
    check_threads_end()
    assert capfd.readouterr() == ("", "")


def test_a_folder_that_cannot_be_written_is_found_before_training(tmp_path, monkeypatch):
    # The superuser may write everywhere.
    monkeypatch.setattr("os.access", lambda path, mode: False)
    with pytest.raises(UserError, match="cannot be written"):
        Checkpoints(tmp_path)


@pytest.mark.parametrize("replaced", [False, True])
def test_checkpoints_deleted_while_the_run_goes_on(tmp_path, capfd, replaced):
    folder = tmp_path / "checkpoints"
    checkpoints = Checkpoints(folder)
    save(checkpoints, 2, 4)
    checkpoints.restore(4, STATES)
    shutil.rmtree(folder)
    if replaced:
        folder.write_text("")
        with pytest.raises(UserError, match=r"step 6 could not be saved .*begins anew"):
            save_and_close(checkpoints, 6)
    else:
        save_and_close(checkpoints, 6)
        assert [path.name for path in folder.iterdir()] == ["6"]
    check_threads_end()
    assert capfd.readouterr() == ("", "")


def test_states_that_were_saved_are_restored_after_a_failure(tmp_path):
    checkpoints = Checkpoints(tmp_path)
    checkpoints.save(STATES, position(2))
    checkpoints.restore(2, STATES)
    with disk_full():
        checkpoints.save(STATES, position(4))
        with pytest.raises(UserError, match="goes on from step 2"):
            checkpoints.restore(4, STATES)
    np.testing.assert_array_equal(checkpoints.restore(2, STATES)["w3"], STATES["w3"])
    checkpoints.close()


def test_checksums_wait_for_the_position(tmp_path, monkeypatch):
    update = _NonBlockingMetadataStore._update_and_log

    def late(self, *arguments, **fields):
        time.sleep(0.2)
        update(self, *arguments, **fields)

    monkeypatch.setattr(_NonBlockingMetadataStore, "_update_and_log", late)
    save_and_close(Checkpoints(tmp_path), 2)
    assert verify(tmp_path / "2")
    assert read_position(tmp_path / "2") == position(2)
