"""Damaged checkpoints: each kind of damage is named, the checkpoint before it is used, and nothing is deleted."""

import contextlib
import errno
import gc
import logging
import os
import shutil
import sys
from pathlib import Path
from types import SimpleNamespace

import chex
import jax.numpy as jnp
import pytest

from align_jax.errors import UserError
from align_jax.runs.checkpoints import Checkpoints
from align_jax.runs.read_checkpoint import Position, reading, saved_steps
from align_jax.runs.recovery import recover

NEW = {f"w{i}": jnp.zeros(512) for i in range(4)}


def states(step):
    return {name: jnp.full(512, float(step)) for name in NEW}


def position(step):
    selected = {"step": 2, "score": 0.5, "validation_accuracy": 0.5} if step > 2 else None
    return Position(step, {"next_index": step}, 10 * step, selected, {"wall_s": 1.5}, {"loss": (0.1 * step, 32.0)})


@pytest.fixture(scope="module")
def saved(tmp_path_factory):
    """Steps 2, 4 and 6; 2 is selected, so it is kept beside the two newest."""
    folder = tmp_path_factory.mktemp("run") / "checkpoints"
    save(folder, 2, 4, 6)
    return folder


@pytest.fixture
def folder(saved, tmp_path):
    return Path(shutil.copytree(saved, tmp_path / "checkpoints"))


def save(folder, *steps):
    with contextlib.closing(Checkpoints(folder)) as checkpoints:
        for step in steps:
            checkpoints.save(states(step), position(step))


def content(folder):
    return {path.relative_to(folder): path.read_bytes() for path in folder.rglob("*") if path.is_file()}


def arrays(checkpoint):
    return [path for path in sorted(checkpoint.rglob("d/*")) if path.is_file()]


def cut(path):
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])


def flip(path):
    changed = bytearray(path.read_bytes())
    # Of Orbax's description only the time of the end has no checksum.
    position = changed.find(b"log_bytes")
    changed[position if position >= 0 else len(changed) // 2] ^= 1
    path.write_bytes(changed)


def replace(checkpoint, by):
    shutil.rmtree(checkpoint)
    by(checkpoint)


DAMAGE = {
    "description missing": lambda checkpoint: (checkpoint / "_CHECKPOINT_METADATA").unlink(),
    "description empty": lambda checkpoint: (checkpoint / "_CHECKPOINT_METADATA").write_text(""),
    "description cut": lambda checkpoint: cut(checkpoint / "_CHECKPOINT_METADATA"),
    "item gone": lambda checkpoint: shutil.rmtree(checkpoint / "states"),
    "item's description missing": lambda checkpoint: (checkpoint / "states" / "_METADATA").unlink(),
    "item's description cut": lambda checkpoint: cut(checkpoint / "states" / "_METADATA"),
    "emptied": lambda checkpoint: replace(checkpoint, Path.mkdir),
    "a file": lambda checkpoint: replace(checkpoint, Path.touch),
    "a link to nowhere": lambda checkpoint: replace(checkpoint, lambda path: path.symlink_to("nowhere")),
    "arrays cut": lambda checkpoint: [cut(path) for path in arrays(checkpoint)],
    "arrays missing": lambda checkpoint: [path.unlink() for path in arrays(checkpoint)],
    "arrays' index missing": lambda checkpoint: (checkpoint / "states" / "manifest.ocdbt").unlink(),
    "of another step": lambda checkpoint: replace(
        checkpoint, lambda path: shutil.copytree(path.with_name("4"), path)
    ),
}  # fmt: skip


@pytest.mark.parametrize("has_checksums", [True, False])
@pytest.mark.parametrize("kind", DAMAGE)
def test_the_checkpoint_before_a_damaged_one_is_used(folder, capfd, kind, has_checksums):
    if not has_checksums:
        for path in folder.glob("*/checksums.json"):
            path.unlink()
    DAMAGE[kind](folder / "6")
    damaged = content(folder / "6")
    recovered = recover(folder, NEW)
    assert recovered.position == position(4)
    chex.assert_trees_all_equal(recovered.states, states(4))
    warning, *notes = recovered.notes
    assert f"step 6 is damaged: {folder / '6'}" in warning
    assert f"kept as {folder / '6.damaged'}, and the run goes on from step 4." in warning
    assert len(notes) == (0 if has_checksums else 2)
    assert content(folder / "6.damaged") == damaged
    assert saved_steps(folder) == [2, 4]
    gc.collect()
    assert capfd.readouterr() == ("", "")

    # The step can be saved again, and damaged again.
    save(folder, 6)
    DAMAGE[kind](folder / "6")
    assert str(folder / "6.damaged2") in recover(folder, NEW).notes[0]
    assert content(folder / "6.damaged") == damaged


def test_flipped_bits_are_damage(folder):
    for path in arrays(folder / "6"):
        flip(path)
    assert recover(folder, NEW).position.step == 4


def test_an_earlier_versions_checkpoint_is_used_and_said(folder):
    for path in folder.glob("*/checksums.json"):
        path.unlink()
    recovered = recover(folder, NEW)
    assert recovered.position.step == 6
    chex.assert_trees_all_equal(recovered.states, states(6))
    assert [f"{folder / step} has no checksums" in note for step, note in zip("26", recovered.notes, strict=True)]


def test_a_stray_folder_is_moved_aside(folder):
    (folder / "8").mkdir()
    (folder / "06").mkdir()
    recovered = recover(folder, NEW)
    assert recovered.position.step == 6
    assert "8.damaged" in recovered.notes[0]
    assert len(recovered.notes) == 1


def test_an_old_checkpoint_whose_deletion_was_cut_off_is_no_damage(folder):
    (folder / "4" / "_CHECKPOINT_METADATA").unlink()
    recovered = recover(folder, NEW)
    assert recovered.position == position(6)
    (note,) = recovered.notes
    assert "step 4 is damaged, or its deletion was cut off" in note
    assert "4.damaged, and the run does not need it" in note


@pytest.mark.parametrize("kind", ["description missing", "gone"])
def test_a_lost_selected_checkpoint_is_said_at_once(folder, kind):
    DAMAGE.get(kind, shutil.rmtree)(folder / "2")
    recovered = recover(folder, NEW)
    assert recovered.position == position(6)._replace(selected=None)
    assert "step 2, which was selected so far, is" in recovered.notes[-1]
    assert "the best one from step 6 on is reported" in recovered.notes[-1]


def test_with_no_good_checkpoint_nothing_is_changed(folder):
    for step in (2, 4, 6):
        flip(folder / str(step) / "_CHECKPOINT_METADATA")
    before = content(folder)
    with pytest.raises(UserError, match=r"None of the checkpoints .*put back .* or train again in another --workdir"):
        recover(folder, NEW)
    assert content(folder) == before


def test_whole_checkpoints_that_do_not_fit_are_left_alone(folder):
    before = content(folder)
    with pytest.raises(UserError, match="although its files are as they were saved"):
        recover(folder, {"other": jnp.zeros(3)})
    assert content(folder) == before


def test_a_new_run_has_none(tmp_path):
    assert recover(tmp_path / "checkpoints", NEW) == (Position(0, {}, 0, None, {}, {}), NEW, [])


def test_a_file_in_the_place_of_the_folder(tmp_path):
    (tmp_path / "checkpoints").touch()
    with pytest.raises(UserError, match="is a file"):
        recover(tmp_path / "checkpoints", NEW)


def test_reads_that_end_after_another_failed_are_silent(tmp_path, monkeypatch, caplog):
    late, other = (
        SimpleNamespace(exc_value=RuntimeError(text), object=None) for text in ("Event loop is closed", "other")
    )
    reported = []
    monkeypatch.setattr("sys.unraisablehook", reported.append)
    with pytest.raises(UserError, match=r"cannot be read \(ValueError: broken\)"), reading(tmp_path):
        raise ValueError("broken")
    sys.unraisablehook(late)
    sys.unraisablehook(other)
    assert reported == [other]

    with caplog.at_level(logging.ERROR, logger="asyncio"):
        for text in ("no such array [tensorstore_spec='{}']", "other"):
            logging.getLogger("asyncio").error("Task exception was never retrieved", exc_info=ValueError(text))
        logging.getLogger("absl").error("[thread=x] _SignalingThread.run() raised an exception: %s", "disk full")
        logging.getLogger("absl").error("other")
    assert [str(record.exc_info[1]) if record.exc_info else record.msg for record in caplog.records] == ["other"] * 2


@pytest.mark.parametrize("number", [errno.EACCES, errno.EMFILE, errno.ESTALE])
def test_a_checkpoint_that_cannot_be_read_now_is_not_damaged(folder, monkeypatch, number):
    unreadable, before, open_file = arrays(folder / "6")[0], content(folder), Path.open

    def failing(path, *arguments, **keywords):
        if path == unreadable:
            raise OSError(number, os.strerror(number), str(path))
        return open_file(path, *arguments, **keywords)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", failing)
        with pytest.raises(UserError, match=rf"{unreadable} cannot be read .*give the same command again"):
            recover(folder, NEW)
    assert content(folder) == before
    assert recover(folder, NEW).position == position(6)
