"""launch/prepare.py prepares, verifies, counts and copies; a copy that was stopped is never taken for a whole one."""

import dataclasses
import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from align_jax.cli.prepare import main, parse
from align_jax.data.datasets import vlcs
from align_jax.data.datasets.emoji_scenes import emoji_scenes
from align_jax.data.datasets.vlcs.vlcs import CLASSES, DOMAINS
from align_jax.data.load import DATASETS
from align_jax.errors import UserError
from tests.data.image_files import read_all, write_domains

ROOT = Path(__file__).parents[2]


@pytest.fixture
def data(tmp_path):
    write_domains(tmp_path / "data" / "VLCS", DOMAINS, CLASSES, images=1)
    return tmp_path


def prepare_vlcs(data, *more):
    return main(["prepare.py", "--dataset=vlcs", f"--root={data / 'data'}", f"--prepared={data / 'prepared'}", *more])


def test_the_table_of_counts(data, capsys):
    assert prepare_vlcs(data) == 0
    output = capsys.readouterr().out.splitlines()
    assert output[0].split() == [*DOMAINS, "all"]
    assert output[1].split() == ["bird", "1", "1", "1", "1", "4"]
    assert output[6].split() == ["all", "5", "5", "5", "5", "20"]
    assert output[7] == f"Prepared and verified: {data / 'prepared' / 'vlcs' / '1.0.0'}"


def test_the_command_needs_no_tensorflow(data):
    code = (
        "import sys; sys.path.insert(0, '.'); from align_jax.cli.prepare import main; status = main(sys.argv)\n"
        "assert not any(name.partition('.')[0] == 'tensorflow' for name in sys.modules); sys.exit(status)"
    )
    flags = ["--dataset=domain_folders", "--folder=VLCS", f"--root={data / 'data'}", f"--prepared={data / 'prepared'}"]
    result = subprocess.run([sys.executable, "-c", code, *flags], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "Preparing VLCS: 20 images" in result.stderr
    assert "Verifying domain_folders" in result.stderr
    assert "all" in result.stdout


def test_skipped_images_are_counted_and_named(data, capsys):
    write_domains(data / "data" / "VLCS", DOMAINS, CLASSES, images=2)
    bad = data / "data" / "VLCS" / "SUN09" / "car" / "1.jpg"
    bad.write_bytes(b"")
    assert prepare_vlcs(data) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: 1 of 40 images of vlcs cannot be read: SUN09/car/1.jpg (empty")
    assert prepare_vlcs(data, "--on_bad_image=skip", "--most_skipped=0.1") == 0
    output = capsys.readouterr().out
    assert "Images that were left out: 1; " in output
    assert "SUN09/car/1.jpg" in (data / "prepared" / "vlcs" / "1.0.0" / "metadata.json").read_text()
    # A prepared data set is reported again, but not prepared again.
    assert prepare_vlcs(data, "--on_bad_image=skip") == 0
    assert capsys.readouterr().out == output
    assert prepare_vlcs(data) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    for part in ("left out", "(1)", "on_bad_image=skip", str(data / "prepared" / "vlcs" / "1.0.0")):
        assert part in error


def test_identical_images_of_several_domains_are_named(data, capsys):
    folder = data / "data" / "VLCS"
    shutil.copy(folder / "LabelMe" / "bird" / "0.jpg", folder / "VOC2007" / "dog" / "1.jpg")
    assert prepare_vlcs(data, "--on_duplicate=error") == 2
    assert "LabelMe/bird/0.jpg = VOC2007/dog/1.jpg" in capsys.readouterr().err.splitlines()[-1]
    assert prepare_vlcs(data, "--on_duplicate=drop") == 0
    metadata = data / "prepared" / "vlcs" / "1.0.0" / "metadata.json"
    lines = capsys.readouterr().out.splitlines()
    assert f"Files that are in several domains: 1; {metadata} names them (shared)." in lines
    assert f"Images that were left out, because another domain has them: 1; {metadata} names them (dropped)." in lines


def test_a_data_set_that_is_a_link_is_copied(data, capsys):
    assert prepare_vlcs(data) == 0
    (data / "prepared" / "vlcs").rename(data / "elsewhere")
    (data / "prepared" / "vlcs").symlink_to(data / "elsewhere")
    assert prepare_vlcs(data, f"--copy_to={data / 'mount'}") == 0
    assert f"Copied, and compared: {data / 'mount' / 'vlcs' / '1.0.0'}" in capsys.readouterr().out
    copied = tfds.builder_from_directory(data / "mount" / "vlcs" / "1.0.0")
    assert read_all(copied) == read_all(tfds.builder_from_directory(data / "elsewhere" / "1.0.0"))


def test_the_copy_of_a_data_set_with_a_configuration_has_the_same_path(data):
    flags = ["--dataset=domain_folders", "--folder=VLCS", f"--root={data / 'data'}", f"--prepared={data / 'prepared'}"]
    assert main(["prepare.py", *flags, f"--copy_to={data / 'mount'}"]) == 0
    assert (data / "mount" / "domain_folders" / "VLCS" / "1.0.0" / "dataset_info.json").is_file()


def test_a_programming_error_is_not_taken_for_a_mistake(data, monkeypatch):
    def broken(config):
        raise ValueError("of ours")

    monkeypatch.setitem(DATASETS, "vlcs", dataclasses.replace(vlcs.DATASET, prepare=broken))
    with pytest.raises(ValueError, match="of ours"):
        prepare_vlcs(data)


def test_a_disk_that_is_full_is_a_line(data, monkeypatch, capsys):
    def full(read, written, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("align_jax.data.preparing.copy_prepared.shutil.copyfileobj", full)
    assert prepare_vlcs(data, f"--copy_to={data / 'mount'}") == 2
    assert "is there room?" in capsys.readouterr().err.splitlines()[-1]


def test_a_record_that_cannot_be_read_back_is_a_line(data, capsys):
    assert prepare_vlcs(data) == 0
    (shard,) = (data / "prepared" / "vlcs" / "1.0.0").glob("*SUN09*")
    shard.write_bytes(b"")
    assert prepare_vlcs(data) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: SUN09: the record ")


def test_emoji_scenes_is_prepared_too(data, monkeypatch, capsys):
    """With its defaults, which are the quickstart's. Composing takes half a minute, so vlcs is prepared instead."""
    asked = []

    def stand_in(prepared, *composition):
        asked.append((prepared, *composition))
        return vlcs.prepare(data / "data", prepared)

    monkeypatch.setattr(emoji_scenes, "prepare", stand_in)
    assert main(["prepare.py", "--dataset=emoji_scenes", f"--prepared={data / 'prepared'}"]) == 0
    assert asked == [(str(data / "prepared"), 0.3, 0, "five", 64)]


def test_a_data_set_in_memory_does_not_have_to_be_prepared(monkeypatch, capsys):
    monkeypatch.setitem(DATASETS, "in_memory", lambda config: None)
    assert main(["prepare.py", "--dataset=in_memory"]) == 2
    assert "in_memory does not have to be prepared" in capsys.readouterr().err


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ([], ["--dataset is missing", "emoji_scenes, vlcs, terra_incognita, domain_folders"]),
        (["--dataset=pacs"], ["pacs", "domain_folders"]),
        (["--dataset=vlcs", "--on_bad_image=ignore"], ["ignore", "error", "skip"]),
        (["--dataset=vlcs", "--most_skipped=2"], ["most_skipped", "2"]),
        (["--dataset=vlcs", "--on_duplicate=remove"], ["remove", "keep", "drop", "error"]),
        (["--dataset=vlcs", "--copyto=x"], ["--copyto is not a flag"]),
        (["--dataset=vlcs", "stray"], ["'stray' is not a flag"]),
        (["--dataset=vlcs", "--copy_to=gs://bucket/data"], ["--copy_to=gs://bucket/data", "mount the bucket"]),
        (["--dataset=vlcs", "--root=s3://bucket"], ["--root=s3://bucket", "mount"]),
        (["--dataset=vlcs", "--prepared=gs://bucket"], ["--prepared=gs://bucket", "mount"]),
        (["--dataset=domain_folders"], ["--folder=PACS"]),
        (["--dataset=domain_folders", "--folder=PACS", "--group=groups.csv"], ["groups.csv", "folder"]),
        (["--dataset=vlcs", "--group=folder"], ["--group is not read by vlcs"]),
        (["--dataset=vlcs", "--folder=VLCS"], ["--folder is not read by vlcs"]),
        (["--dataset=terra_incognita", "--folder="], ["--folder is not read by terra_incognita"]),
        (["--dataset=emoji_scenes", "--root=data"], ["--root is not read by emoji_scenes"]),
        (["--dataset=emoji_scenes", "--on_bad_image=error"], ["--on_bad_image is not read by emoji_scenes"]),
        (["--dataset=emoji_scenes", "--most_skipped=0.1"], ["--most_skipped is not read by emoji_scenes"]),
        (["--dataset=vlcs", "--root=nowhere"], ["VLCS was not found at nowhere"]),
    ],
)
def test_mistakes_are_answered_in_one_line(flags, parts, tmp_path, capsys, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert main(["prepare.py", *flags]) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: ")
    for part in parts:
        assert part in error, error


def test_a_folder_that_cannot_be_written_is_a_line(data, capsys):
    (data / "prepared").write_text("a file")
    assert prepare_vlcs(data) == 2
    assert capsys.readouterr().err.splitlines()[-1].startswith("error: ")


def test_flags_have_types():
    flags = ["--dataset=domain_folders", "--folder=PACS", "--most_skipped=0.05", "--copy_to=m", "--group=folder"]
    data, copy_to = parse(["prepare.py", *flags])
    assert data.group == "folder"
    assert (data.name, data.folder, data.most_skipped, copy_to) == ("domain_folders", "PACS", 0.05, Path("m"))
    assert (data.on_bad_image, data.root, data.prepared) == ("error", "data", "data")


def test_the_launcher_runs(data):
    command = [sys.executable, str(ROOT / "launch" / "prepare.py"), "--dataset=vlcs", "--nonsense=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --nonsense is not a flag")
    assert len(result.stderr.splitlines()) == 1


def test_the_root_is_not_needed_after_preparing(data):
    assert prepare_vlcs(data) == 0
    shutil.rmtree(data / "data")
    assert prepare_vlcs(data) == 0


@pytest.mark.parametrize("copy_to", [".", "prepared"])
def test_a_copy_goes_elsewhere(tmp_path, monkeypatch, copy_to):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--copy_to is .*; give a folder other than"):
        parse(["prepare.py", "--dataset=vlcs", "--root=x", "--prepared=prepared", f"--copy_to={copy_to}"])


@pytest.mark.parametrize("root", ["/dev/zero", "pipe", "pipe.zip", "loop", "sparse.tar", "sparse.zip", "sparse"])
def test_a_root_that_is_neither_folder_nor_archive_is_refused(tmp_path, capsys, root):
    for pipe in ("pipe", "pipe.zip"):
        os.mkfifo(tmp_path / pipe)
    (tmp_path / "loop").symlink_to("loop")
    for large in ("sparse", "sparse.tar", "sparse.zip"):
        with (tmp_path / large).open("wb") as file:
            file.truncate(2**40)
    prepared = tmp_path / "prepared"
    flags = ["--dataset=domain_folders", "--folder=Mine", f"--root={tmp_path / root}", f"--prepared={prepared}"]
    assert main(["prepare.py", *flags]) == 2
    error = capsys.readouterr().err
    assert str(tmp_path / root) in error
    assert "Preparing" not in error
    assert not prepared.exists()


def test_a_link_to_itself_holds_no_prepared_data(data, capsys):
    (data / "prepared").symlink_to("prepared")
    assert prepare_vlcs(data) == 2
    assert "prepared" in capsys.readouterr().err
