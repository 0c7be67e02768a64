"""launch/prepare.py: prepares, verifies, counts, copies; a copy that was stopped is never taken for a whole one."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest
import tensorflow_datasets as tfds

from align_jax.cli import prepare as preparation
from align_jax.cli.prepare import copy, main, parse, verify
from align_jax.data.datasets.vlcs.vlcs import CLASSES, DOMAINS
from align_jax.errors import UserError
from tests.data.image_files import read_all, write_domains, write_image

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
    assert output[0].split() == [*CLASSES, "all"]
    assert output[1].split() == ["Caltech101", "1", "1", "1", "1", "1", "5"]
    assert output[5].split() == ["all", "4", "4", "4", "4", "4", "20"]
    assert output[6] == f"Prepared and verified: {data / 'prepared' / 'vlcs' / '1.0.0'}"


def test_the_command_needs_no_tensorflow(data):
    code = (
        "import sys; sys.path.insert(0, '.'); from align_jax.cli.prepare import main; status = main(sys.argv)\n"
        "assert not any(name.partition('.')[0] == 'tensorflow' for name in sys.modules); sys.exit(status)"
    )
    flags = ["--dataset=domain_folders", "--folder=VLCS", f"--root={data / 'data'}", f"--prepared={data / 'prepared'}"]
    result = subprocess.run([sys.executable, "-c", code, *flags], cwd=ROOT, capture_output=True, text=True, timeout=120)
    assert result.returncode == 0, result.stderr
    assert "Preparing domain_folders" in result.stderr
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
    # What is prepared is reported again, and not prepared again.
    assert prepare_vlcs(data, "--on_bad_image=skip") == 0
    assert capsys.readouterr().out == output
    assert prepare_vlcs(data) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    for part in ("left out", "(1)", "on_bad_image=skip", str(data / "prepared" / "vlcs" / "1.0.0")):
        assert part in error


def test_the_copy_is_whole_and_goes_on(data, capsys):
    assert prepare_vlcs(data, f"--copy_to={data / 'mount'}") == 0
    assert "Copied, and compared:" in capsys.readouterr().out
    source, target = data / "prepared" / "vlcs" / "1.0.0", data / "mount" / "vlcs" / "1.0.0"
    assert {path.name for path in target.iterdir()} == {path.name for path in source.iterdir()}
    assert read_all(tfds.builder_from_directory(target)) == read_all(tfds.builder_from_directory(source))

    def times():
        return {path.name: path.stat().st_mtime_ns for path in target.iterdir()}

    before = times()
    (victim,) = target.glob("*SUN09*")
    content = bytearray(victim.read_bytes())
    content[100] ^= 1  # A file of the right length with another byte in it.
    victim.write_bytes(content)
    copy(source, target)
    after = times()
    assert {name for name in after if after[name] != before[name]} == {victim.name, "dataset_info.json"}
    assert victim.read_bytes() == (source / victim.name).read_bytes()


def test_a_data_set_that_is_a_link_is_copied(data):
    assert prepare_vlcs(data) == 0
    (data / "prepared" / "vlcs").rename(data / "elsewhere")
    (data / "prepared" / "vlcs").symlink_to(data / "elsewhere")
    assert prepare_vlcs(data, f"--copy_to={data / 'mount'}") == 0
    copied = tfds.builder_from_directory(data / "mount" / "vlcs" / "1.0.0")
    assert read_all(copied) == read_all(tfds.builder_from_directory(data / "elsewhere" / "1.0.0"))


def test_the_copy_of_a_data_set_with_a_configuration_lies_likewise(data):
    flags = ["--dataset=domain_folders", "--folder=VLCS", f"--root={data / 'data'}", f"--prepared={data / 'prepared'}"]
    assert main(["prepare.py", *flags, f"--copy_to={data / 'mount'}"]) == 0
    assert (data / "mount" / "domain_folders" / "VLCS" / "1.0.0" / "dataset_info.json").is_file()


def test_a_programming_error_is_not_taken_for_a_mistake(data, monkeypatch):
    def broken(request):
        raise ValueError("of ours")

    monkeypatch.setitem(preparation.DATASETS, "vlcs", broken)
    with pytest.raises(ValueError, match="of ours"):
        prepare_vlcs(data)


def test_a_copy_that_is_stopped_is_not_a_data_set(data, monkeypatch):
    assert prepare_vlcs(data) == 0
    source, target = data / "prepared" / "vlcs" / "1.0.0", data / "mount" / "vlcs" / "1.0.0"
    files = len(list(source.iterdir()))
    replaced = []

    def stop_at_the_last(old, new):
        if len(replaced) == files - 1:
            raise KeyboardInterrupt
        replaced.append(Path(new).name)
        os.rename(old, new)

    monkeypatch.setattr(preparation.os, "replace", stop_at_the_last)
    with pytest.raises(KeyboardInterrupt):
        copy(source, target)
    monkeypatch.undo()
    assert "dataset_info.json" not in replaced
    assert main(["prepare.py", "--dataset=vlcs", f"--prepared={data / 'mount'}"]) == 2
    copy(source, target)
    assert main(["prepare.py", "--dataset=vlcs", f"--prepared={data / 'mount'}"]) == 0
    assert not list(target.glob(".*"))


def test_a_copy_over_another_data_set_is_not_whole_meanwhile(data, monkeypatch):
    assert prepare_vlcs(data, f"--copy_to={data / 'mount'}") == 0
    other = data / "other"
    write_domains(other / "data" / "VLCS", DOMAINS, CLASSES, images=2)
    assert prepare_vlcs(other) == 0
    target = data / "mount" / "vlcs" / "1.0.0"

    def full(read, written, size):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(preparation.shutil, "copyfileobj", full)
    assert prepare_vlcs(other, f"--copy_to={data / 'mount'}") == 2
    assert not (target / "dataset_info.json").exists()


def test_what_reads_back_otherwise_is_refused(data, monkeypatch):
    assert prepare_vlcs(data) == 0
    monkeypatch.setattr(preparation.shutil, "copyfileobj", lambda read, written, size: written.write(read.read()[:-1]))
    with pytest.raises(UserError, match="reads back other than it was written"):
        copy(data / "prepared" / "vlcs" / "1.0.0", data / "mount")


@pytest.mark.parametrize(
    ("change", "part"),
    [
        ({"image": b"no image"}, "not an image"),
        ({"id": b"the same"}, "its id comes twice"),
        ({"label": 5}, "label 5"),
        ({"label": -1}, "label -1"),
        ({"domain": 4}, "domain 4"),
    ],
)
def test_verifying_finds_bad_records(data, monkeypatch, change, part):
    assert prepare_vlcs(data) == 0
    builder = tfds.builder_from_directory(data / "prepared" / "vlcs" / "1.0.0")
    assert verify(builder)["SUN09"]["car"] == 1
    records = {split: [record | change for record in members] for split, members in _raw(builder).items()}
    monkeypatch.setattr(builder, "as_data_source", lambda split, decoders: records[split])
    with pytest.raises(UserError, match=part):
        verify(builder)
    monkeypatch.setattr(builder, "as_data_source", lambda split, decoders: records[split][:-1])
    with pytest.raises(UserError, match="has 4 records, not 5"):
        verify(builder)


def _raw(builder):
    skip = {"image": tfds.decode.SkipDecoding()}
    return {split: list(builder.as_data_source(split, decoders=skip)) for split in builder.info.splits}


def flip(content):
    middle = len(content) // 3
    return content[:middle] + bytes([content[middle] ^ 255]) + content[middle + 1 :]


@pytest.mark.parametrize("damage", [lambda _: b"", lambda content: content[:70_000], flip])
def test_a_damaged_file_is_refused(data, capsys, damage):
    write_image(data / "data" / "VLCS" / "SUN09" / "car" / "large.png", height=600, width=600)
    assert prepare_vlcs(data) == 0
    (shard,) = (data / "prepared" / "vlcs" / "1.0.0").glob("*SUN09*")
    content = shard.read_bytes()
    assert len(content) > 100_000
    shard.write_bytes(damage(content))
    assert prepare_vlcs(data) == 2
    error = capsys.readouterr().err.splitlines()[-1]
    assert error.startswith("error: SUN09: the record ")
    assert "prepare again" in error


def test_emoji_scenes_is_prepared_too(data, monkeypatch, capsys):
    """With its defaults, which are the quickstart's; here a stand-in is, since composing takes half a minute."""
    asked = []

    def stand_in(prepared):
        asked.append(prepared)
        return preparation.vlcs.prepare(data / "data", prepared)

    monkeypatch.setattr(preparation.emoji_scenes, "prepare", stand_in)
    assert main(["prepare.py", "--dataset=emoji_scenes", f"--prepared={data / 'prepared'}"]) == 0
    assert asked == [data / "prepared"]


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        ([], ["--dataset is missing", "emoji_scenes, vlcs, terra_incognita, domain_folders"]),
        (["--dataset=pacs"], ["pacs", "domain_folders"]),
        (["--dataset=vlcs", "--on_bad_image=ignore"], ["ignore", "error", "skip"]),
        (["--dataset=vlcs", "--most_skipped=2"], ["most_skipped", "2"]),
        (["--dataset=vlcs", "--copyto=x"], ["--copyto is no flag"]),
        (["--dataset=vlcs", "stray"], ["'stray' is no flag"]),
        (["--dataset=vlcs", "--copy_to=gs://bucket/data"], ["--copy_to=gs://bucket/data", "mount the bucket"]),
        (["--dataset=vlcs", "--root=s3://bucket"], ["--root=s3://bucket", "mount"]),
        (["--dataset=vlcs", "--prepared=gs://bucket"], ["--prepared=gs://bucket", "mount"]),
        (["--dataset=domain_folders"], ["--folder=PACS"]),
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
    request = parse(["prepare.py", "--dataset=domain_folders", "--folder=PACS", "--most_skipped=0.05", "--copy_to=m"])
    assert (request.folder, request.most_skipped, request.copy_to) == ("PACS", 0.05, Path("m"))
    assert request.on_bad_image == "error"


def test_the_launcher_runs(data):
    command = [sys.executable, str(ROOT / "launch" / "prepare.py"), "--dataset=vlcs", "--nonsense=1"]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.returncode == 2
    assert result.stderr.startswith("error: --nonsense is no flag")
    assert len(result.stderr.splitlines()) == 1


def test_the_root_is_needed_no_more(data):
    assert prepare_vlcs(data) == 0
    shutil.rmtree(data / "data")
    assert prepare_vlcs(data) == 0


@pytest.mark.parametrize("copy_to", ["", ".", "prepared"])
def test_a_copy_goes_elsewhere(tmp_path, monkeypatch, copy_to):
    monkeypatch.chdir(tmp_path)
    with pytest.raises(UserError, match=r"--copy_to is .*; give a folder other than"):
        parse(["prepare.py", "--dataset=vlcs", "--root=x", "--prepared=prepared", f"--copy_to={copy_to}"])
