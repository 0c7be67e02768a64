"""A data set is prepared once, whole or not at all, by however many processes."""

import errno
import json
import shutil
import signal
import threading
import time
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from align_jax.data.datasets.domain_folders import prepare
from align_jax.data.preparing import archives, builder, once
from align_jax.data.preparing.once import prepare_once
from align_jax.runtime.interruption import Interrupted, stop_request
from align_jax.runtime.locks import lock
from tests.data.image_files import left_behind, read_all
from tests.data.small_folders import refused


def test_what_is_prepared_needs_its_images_no_more(root, tmp_path):
    before = read_all(prepare(root, tmp_path / "prepared", folder="Mine"))
    files = {path: path.stat().st_mtime_ns for path in left_behind(tmp_path / "prepared")}
    shutil.rmtree(root)
    again = prepare(root, tmp_path / "prepared", folder="Mine")
    assert read_all(again) == before
    assert again.info.metadata["splits"]["real photos"] == "real_photos"
    assert {path: path.stat().st_mtime_ns for path in left_behind(tmp_path / "prepared")} == files
    (folder,) = (tmp_path / "prepared").glob("domain_folders/Mine/1.0.0")
    assert read_all(tfds.builder_from_directory(folder)) == before


def test_one_of_several_processes_prepares(root, tmp_path, capsys):
    """The other says that it waits, and then reads what the first prepared."""
    folder = tmp_path / "prepared" / "domain_folders" / "Mine"
    folder.mkdir(parents=True)
    with lock(folder / ".lock"):
        waiting = threading.Thread(target=prepare, args=(root, tmp_path / "prepared"), kwargs={"folder": "Mine"})
        waiting.start()
        while "Waiting for another process" not in capsys.readouterr().err:
            assert waiting.is_alive()
            time.sleep(0.01)
        assert not (folder / "1.0.0").exists()
    waiting.join()
    assert (folder / "1.0.0" / "dataset_info.json").is_file()


def test_data_are_prepared_on_a_file_system_without_locks(root, tmp_path, monkeypatch):
    def without(descriptor, operation):
        raise OSError(errno.ENOSYS, "Function not implemented")

    monkeypatch.setattr("align_jax.runtime.locks.fcntl.flock", without)
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 8


@pytest.mark.parametrize("stage", ["reading", "extracting"])
def test_asked_to_stop_it_ends_at_the_next_image_and_leaves_nothing(root, tmp_path, monkeypatch, stage):
    module, name = {"reading": (builder, "_read"), "extracting": (archives, "_accepted")}[stage]
    original = getattr(module, name)

    def asking(*arguments):
        signal.raise_signal(signal.SIGTERM)
        return original(*arguments)

    monkeypatch.setattr(module, name, asking)
    given = shutil.make_archive(str(tmp_path / "Mine"), "zip", root) if stage == "extracting" else root
    with pytest.raises(Interrupted, match="Interrupted by SIGTERM") as caught:
        prepare(given, tmp_path / "prepared", folder="Mine")
    assert caught.value.status == 143
    assert left_behind(tmp_path / "prepared") == []
    monkeypatch.undo()
    assert prepare(root, tmp_path / "prepared", folder="Mine").info.splits.total_num_examples == 8


def test_asked_to_stop_it_no_longer_waits_for_another_process(root, tmp_path):
    folder = tmp_path / "prepared" / "domain_folders" / "Mine"
    folder.mkdir(parents=True)
    with lock(folder / ".lock"), stop_request() as stop:
        threading.Timer(0.3, lambda: signal.raise_signal(signal.SIGTERM)).start()
        with pytest.raises(Interrupted, match="was still being prepared by another process"):
            prepare(root, tmp_path / "prepared", folder="Mine")
        stop.signal = None


def test_leftovers_of_a_killed_process_are_removed(root, tmp_path):
    leftover = tmp_path / "prepared" / "domain_folders" / "Mine" / "incomplete.ABC_1.0.0"
    leftover.mkdir(parents=True)
    (leftover / "part").write_bytes(b"?")
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert not list((tmp_path / "prepared").rglob("*incomplete*"))


def test_leftovers_beside_a_whole_data_set_are_removed_unless_they_are_in_use(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    leftover = tmp_path / "prepared" / "domain_folders" / "Mine" / "incomplete.workspace"
    (leftover / "extracted").mkdir(parents=True)
    with lock(leftover.parent / ".lock"):
        prepare(root, tmp_path / "prepared", folder="Mine")
        assert leftover.exists()
    prepare(root, tmp_path / "prepared", folder="Mine")
    assert not leftover.exists()


def test_a_half_copy_is_not_taken_for_a_data_set(root, tmp_path):
    prepare(root, tmp_path / "prepared", folder="Mine")
    (tmp_path / "prepared" / "domain_folders" / "Mine" / "1.0.0" / "dataset_info.json").unlink()
    assert "not a whole data set" in refused(root, tmp_path / "prepared", folder="Mine")


def test_the_checksums_are_written_before_the_folder_has_its_name(root, tmp_path, monkeypatch):
    def killed(folder):
        write_checksums(folder)
        assert (folder / "checksums.json").is_file()
        assert not (folder.parent / "1.0.0").exists()
        raise KeyboardInterrupt

    write_checksums = once._write_checksums
    monkeypatch.setattr(once, "_write_checksums", killed)
    with pytest.raises(KeyboardInterrupt):
        prepare(root, tmp_path / "prepared", folder="Mine")
    assert left_behind(tmp_path / "prepared") == []
    monkeypatch.undo()
    builder = prepare(root, tmp_path / "prepared", folder="Mine")
    checked = json.loads((Path(builder.data_dir) / "checksums.json").read_text())
    assert {"dataset_info.json", "features.json", "label.labels.txt", "metadata.json"} <= set(checked)


def test_a_missing_file_is_named_without_the_system_s_words(root, tmp_path):
    folder = Path(prepare(root, tmp_path / "prepared", folder="Mine").data_dir)
    for name in ("checksums.json", "label.labels.txt"):  # as of an earlier version
        (folder / name).unlink()
    assert "is damaged (label.labels.txt is missing)" in refused(root, tmp_path / "prepared", folder="Mine")


def test_paths_that_are_not_local_are_refused(root):

    assert "mount the bucket" in refused(root, Path("gs://bucket/data"), folder="Mine")


@pytest.mark.parametrize("made_before", ["", "prepared", "prepared/domain_folders/Mine"])
def test_a_refusal_leaves_no_folder_behind(root, tmp_path, monkeypatch, made_before):
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    (tmp_path / made_before).mkdir(parents=True, exist_ok=True)
    before = sorted(tmp_path.rglob("*"))
    refused(tmp_path / "nowhere", tmp_path / "prepared", folder="Mine")
    assert sorted(tmp_path.rglob("*")) == before
    (root / "Mine" / "clipart" / "apple" / "0.jpg").write_bytes(b"")
    refused(root, tmp_path / "prepared", folder="Mine")
    assert sorted(tmp_path.rglob("*")) == before


def test_who_waited_for_a_refused_preparation_does_not_write_beside_another(root, tmp_path):
    """The lock's file is gone with the refusal: the lock on the removed file protects nothing."""
    folder = tmp_path / "prepared" / "1.0.0"
    (tmp_path / "prepared").mkdir()
    seen = []

    def write(workspace):
        with lock(folder.parent / ".lock") as held:
            seen.append(held)
        folder.mkdir()
        (folder / "dataset_info.json").touch()

    with lock(folder.parent / ".lock"):
        waiting = threading.Thread(target=prepare_once, args=(folder, write))
        waiting.start()
        time.sleep(0.2)
        (folder.parent / ".lock").unlink()
    waiting.join()
    assert seen == [None]
