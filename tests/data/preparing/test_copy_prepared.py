"""A copy is whole or not a data set; one that was stopped goes on."""

import os
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from align_jax.data.datasets import vlcs
from align_jax.data.datasets.vlcs.vlcs import CLASSES, DOMAINS
from align_jax.data.preparing import copy_prepared as module
from align_jax.data.preparing.copy_prepared import copy_prepared
from align_jax.errors import UserError
from tests.data.image_files import read_all, write_domains


def prepared(folder, images):
    """The folder of VLCS, prepared from so many images a class."""
    write_domains(folder / "images" / "VLCS", DOMAINS, CLASSES, images)
    return Path(vlcs.prepare(folder / "images", folder / "prepared").data_dir)


@pytest.fixture
def source(tmp_path):
    return prepared(tmp_path, images=1)


@pytest.fixture
def target(tmp_path):
    return tmp_path / "mount" / "vlcs" / "1.0.0"


def test_the_copy_is_whole_and_goes_on(source, target):
    copy_prepared(source, target)
    assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}
    assert read_all(tfds.builder_from_directory(target)) == read_all(tfds.builder_from_directory(source))

    def times():
        return {path.name: path.stat().st_mtime_ns for path in target.iterdir()}

    before = times()
    (victim,) = target.glob("*SUN09*")
    content = bytearray(victim.read_bytes())
    content[100] ^= 1  # A file of the right length with another byte in it.
    victim.write_bytes(content)
    copy_prepared(source, target)
    after = times()
    assert {name for name in after if after[name] != before[name]} == {victim.name, "dataset_info.json"}
    assert victim.read_bytes() == (source / victim.name).read_bytes()


def test_a_copy_that_is_stopped_is_not_a_data_set(source, target, tmp_path, monkeypatch):
    files = len(list(source.iterdir()))
    replaced = []

    def stop_at_the_last(old, new):
        if len(replaced) == files - 1:
            raise KeyboardInterrupt
        replaced.append(Path(new).name)
        os.rename(old, new)

    monkeypatch.setattr(module.os, "replace", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        copy_prepared(source, target)
    monkeypatch.undo()
    assert "dataset_info.json" not in replaced
    with pytest.raises(UserError, match="not a whole data set"):
        vlcs.prepare(tmp_path / "nowhere", tmp_path / "mount")
    copy_prepared(source, target)
    assert read_all(vlcs.prepare(tmp_path / "nowhere", tmp_path / "mount"))
    assert not list(target.glob(".*"))


def test_a_copy_over_another_data_set_is_not_whole_meanwhile(source, target, tmp_path, monkeypatch):
    copy_prepared(source, target)
    other = prepared(tmp_path / "other", images=2)

    def full(read, written, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(module.shutil, "copyfileobj", full)
    with pytest.raises(OSError, match="No space left"):
        copy_prepared(other, target)
    assert not (target / "dataset_info.json").exists()


def test_what_reads_back_otherwise_is_refused(source, target, monkeypatch):
    monkeypatch.setattr(module.shutil, "copyfileobj", lambda read, written, size: written.write(read.read()[:-1]))
    with pytest.raises(UserError, match="reads back differently"):
        copy_prepared(source, target)
