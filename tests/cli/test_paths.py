"""A path is taken as a person means it in every command: `~` is the home folder, and what cannot be one is refused."""

import os
import re
from pathlib import Path

import pytest

from align_jax.cli import evaluate, explain, export, prepare, report, sweep, train
from align_jax.configuration import PATHS, default_config, settings, with_home
from align_jax.errors import UserError
from align_jax.models.pretrained import locate
from align_jax.runtime.paths import check_utf8, local_path
from align_jax.settings import PATH
from align_jax.training import train_and_evaluate
from experiments.mask_quality import experiment
from experiments.pretrain_emoji import command_line
from tests.tiny_config import get_config

TINY = f"--config={Path(__file__).parents[1] / 'tiny_config.py'}"
# Every flag of a command that is a path, and what else the command needs.
FLAGS = {
    "main --workdir": (train.main, TINY),
    "sweep --workdir": (lambda arguments: sweep.main(arguments, ()), TINY),
    "sweep --slurm": (lambda arguments: sweep.main(arguments, ()), TINY, "--workdir=w"),
    "mask_quality --workdir": (lambda arguments: experiment.main(arguments, config=TINY[9:], program=()),),
    "evaluate --workdir": (evaluate.main,),
    "evaluate --out": (evaluate.main, "--workdir=w"),
    "explain --workdir": (explain.main, "cat.jpg"),
    "explain --out": (explain.main, "--workdir=w", "cat.jpg"),
    "explain --masks": (explain.main, "--workdir=w", "cat.jpg"),
    "export --workdir": (export.main, "--to=x.safetensors"),
    "export --to": (export.main, "--workdir=w"),
    "report --out": (report.main, "w"),
    "prepare --prepared": (prepare.main, "--dataset=vlcs"),
    "prepare --root": (prepare.main, "--dataset=vlcs"),
    "prepare --copy_to": (prepare.main, "--dataset=vlcs"),
    "pretrain_emoji --to": (command_line.main, "--archives=x.tgz"),
}


@pytest.mark.parametrize("given", ["", "gs://bucket/run", "s3://bucket/run", "hdfs://host/run"])
@pytest.mark.parametrize("name", FLAGS)
def test_what_is_no_path_is_refused_before_anything_is_made(name, given, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main, *others = FLAGS[name]
    flag = name.split()[1]
    assert main([f"{name.split()[0]}.py", *others, f"{flag}={given}"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert flag in error
    assert ("mount the bucket" if given else "is empty") in error
    assert list(tmp_path.iterdir()) == []


# Where nothing at all is another matter: lists, arguments without a flag, files, and folders that may be "".
ELSEWHERE = {
    "main --config": (train.main, "--config={}"),
    "main --compilation_cache": (train.main, TINY, "--workdir=w", "--compilation_cache={}"),
    "sweep --config": (lambda arguments: sweep.main(arguments, ()), "--workdir=w", "--config={}"),
    "evaluate --compilation_cache": (evaluate.main, "--workdir=w", "--compilation_cache={}"),
    "explain --compilation_cache": (explain.main, "--workdir=w", "--compilation_cache={}", "cat.jpg"),
    "explain IMAGE": (explain.main, "--workdir=w", "cat.jpg", "{}"),
    "explain IMAGE with methods": (explain.main, "--workdir=w", "--methods=grad_cam", "{}"),
    "explain --beside": (explain.main, "--workdir=w", "--beside=other,{}"),
    "report DIR": (report.main, "w", "{}"),
    "prepare --folder": (prepare.main, "--dataset=domain_folders", "--folder={}"),
    "pretrain_emoji --archives": (command_line.main, "--to=x.safetensors", "--archives=x.tgz,{}"),
}
FIELDS = (*PATHS, "data.folder")


@pytest.mark.parametrize("name", [*ELSEWHERE, *FIELDS])
def test_a_url_is_refused_wherever_a_path_is_meant(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main, *arguments = ELSEWHERE.get(name, (train.main, TINY, "--workdir=w", f"--config.{name}={{}}"))
    assert main([f"{name.split()[0]}.py", *(argument.format("gs://bucket/it") for argument in arguments)]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "gs://bucket/it is not a path on this machine" in error
    assert "mount the bucket" in error
    assert list(tmp_path.iterdir()) == []


def test_every_setting_that_is_a_path_is_among_them():
    """By its rule, or by what its default or its name says."""
    named = {
        field
        for field, setting in settings().items()
        if setting.rule is PATH or re.search("folder|root|prepared|path", field)
    }
    assert named <= set(FIELDS)


@pytest.mark.parametrize("name", [name for name in FLAGS if name.endswith("--workdir")])
def test_a_workdir_whose_name_is_not_utf8_is_refused_before_anything_is_made(name, tmp_path, monkeypatch, capsys):
    monkeypatch.chdir(tmp_path)
    main, *others = FLAGS[name]
    assert main([f"{name.split()[0]}.py", *others, "--workdir=w\udcff\x1b[31m\n"]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1
    assert "w\ufffd\ufffd[31m" in error
    assert "not UTF-8" in error
    assert list(tmp_path.iterdir()) == []


def test_a_link_to_such_a_folder_is_taken(tmp_path):
    bad = tmp_path / os.fsdecode(b"w\xff")
    bad.mkdir()
    (tmp_path / "link").symlink_to(bad)
    check_utf8(tmp_path / "link", "--workdir")
    with pytest.raises(UserError, match="not UTF-8"):
        check_utf8(bad / "run", "--workdir")


def test_the_library_refuses_them_too(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    for given in ("", "gs://bucket/run", Path("gs://bucket/run")):
        with pytest.raises(UserError, match=r"is empty|mount the bucket"):
            train_and_evaluate(get_config(), given)
    assert list(tmp_path.iterdir()) == []


def test_the_tilde_is_the_home_folder_in_flags_and_in_configs(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path))
    assert local_path("~/run", "--workdir") == local_path(Path("~/run"), "--workdir") == tmp_path / "run"
    config = default_config()
    config.data.root, config.data.prepared, config.data.mask_folder = "~", "~/prepared", "~/masks"
    config.classifier.pretrained = "~/weights.safetensors"
    expanded = with_home(config)
    assert (expanded.data.root, expanded.data.prepared) == (str(tmp_path), str(tmp_path / "prepared"))
    assert expanded.data.mask_folder == str(tmp_path / "masks")
    assert expanded.classifier.pretrained == str(tmp_path / "weights.safetensors")
    assert config.data.root == "~"
    (tmp_path / "mine.py").write_text("from tests.tiny_config import get_config")
    for config_flag in ("--config=~/mine.py", "-config=~/mine.py"):
        assert train.parse(["main.py", config_flag, "--workdir=~/run"])[1] == tmp_path / "run"
    assert sweep.parse(["sweep.py", "--config=~/mine.py", "--workdir=~/runs"]).workdir == tmp_path / "runs"
    data, copy_to = prepare.parse(["prepare.py", "--dataset=vlcs", "--root=~/images", "--copy_to=~/copy"])
    assert (data.root, copy_to) == (str(tmp_path / "images"), tmp_path / "copy")


def test_a_folder_whose_name_is_a_tilde_stays_one_however_often_it_is_read(tmp_path, monkeypatch):
    monkeypatch.setenv("HOME", str(tmp_path / "home"))
    monkeypatch.chdir(tmp_path)
    once = local_path("./~", "--workdir")
    assert once == local_path(once, "workdir") == train.parse(["main.py", TINY, "--workdir=./~"])[1] == tmp_path / "~"
    (tmp_path / "~").mkdir()
    (tmp_path / "~" / "w.safetensors").touch()
    config = default_config()
    config.classifier.pretrained = "./~/w.safetensors"
    twice = with_home(with_home(config)).classifier.pretrained
    assert locate(twice).samefile(tmp_path / "~" / "w.safetensors")


@pytest.mark.parametrize("field", ["root", "prepared"])
def test_an_empty_path_in_a_config_is_refused(field, tmp_path, capsys):
    assert train.main(["main.py", TINY, f"--workdir={tmp_path / 'run'}", f"--config.data.{field}="]) == 2
    assert f"config.data.{field} is ''; it must be a path; . is the current folder." in capsys.readouterr().err
    assert not (tmp_path / "run").exists()
