"""Checksums of a checkpoint's files: whatever is changed, cut or taken away is found and named."""

import json
import shutil
from pathlib import Path

import pytest

from align_jax.errors import UserError
from align_jax.runs.checksums import verify


@pytest.fixture
def checkpoint(trained_run, tmp_path):
    return Path(shutil.copytree(trained_run / "checkpoints" / "4", tmp_path / "4"))


def files(checkpoint):
    """All but Orbax's note that the folder is whole, which its name says too."""
    return [
        path for path in sorted(checkpoint.rglob("*")) if path.is_file() and path != checkpoint / "commit_success.txt"
    ]


def fault(checkpoint):
    with pytest.raises(UserError) as caught:
        verify(checkpoint)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def test_a_checkpoint_as_it_was_saved_is_whole(trained_run):
    """Moved with its run's folder it still is."""
    assert verify(trained_run / "checkpoints" / "2")
    assert verify(trained_run / "checkpoints" / "4")


def test_a_flipped_bit_is_found_in_every_file(checkpoint):
    for path in files(checkpoint):
        content = path.read_bytes()
        for place in range(0, len(content), max(len(content) // 5, 1)):
            # Orbax's time of the end is the one thing that is written after the checksums.
            if b"commit_timestamp_nsecs" in content[max(place - 50, 0) : place + 30]:
                continue
            path.write_bytes(content[:place] + bytes([content[place] ^ 1]) + content[place + 1 :])
            fault(checkpoint)
        path.write_bytes(content)
    assert verify(checkpoint)


def test_a_position_that_was_changed_is_found(checkpoint):
    path = checkpoint / "_CHECKPOINT_METADATA"
    content = json.loads(path.read_text())
    content["custom_metadata"]["data"]["next_index"] += 1
    path.write_text(json.dumps(content))
    assert "_CHECKPOINT_METADATA is not as it was saved" in fault(checkpoint)


def test_missing_emptied_and_cut_files_are_named(checkpoint):
    for path in files(checkpoint):
        if path.name == "checksums.json":
            continue
        content = path.read_bytes()
        path.unlink()
        assert f"lacks {path.relative_to(checkpoint).as_posix()}" in fault(checkpoint)
        for cut in (b"", content[: len(content) // 2]):
            path.write_bytes(cut)
            assert str(path) in fault(checkpoint)
        path.write_bytes(content)
    assert verify(checkpoint)


def test_folders_that_are_gone(checkpoint, tmp_path):
    shutil.rmtree(checkpoint / "states")
    assert "lacks states/_METADATA" in fault(checkpoint)
    assert "is missing" in fault(tmp_path / "6")
    (tmp_path / "6").touch()
    assert "is not a folder" in fault(tmp_path / "6")


@pytest.mark.parametrize("content", ["", "[]", "{}", '{"files": {}}', '{"files": {"../4": 1}}', '{"files": {"/": []}}'])
def test_broken_checksums_are_damage_too(checkpoint, content):
    (checkpoint / "checksums.json").write_text(content)
    fault(checkpoint)


def test_a_checkpoint_of_an_earlier_version_has_none(checkpoint):
    (checkpoint / "checksums.json").unlink()
    assert not verify(checkpoint)


def test_a_folder_that_is_deleted_meanwhile_cannot_be_read(checkpoint, monkeypatch):
    def gone(self, pattern):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr(Path, "rglob", gone)
    assert f"{checkpoint} cannot be read (no such file or directory)" in fault(checkpoint)
