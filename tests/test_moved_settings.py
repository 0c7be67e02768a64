"""Runs of earlier versions, whose config.json has other names for some settings."""

import json
import shutil
from pathlib import Path

import pytest

from align_jax.cli.evaluate import main as evaluate
from align_jax.configuration import check, settings
from align_jax.errors import UserError
from align_jax.moved_settings import MOVED, with_new_names
from align_jax.runs.folder import check_run_folder
from align_jax.runs.read import read_run
from align_jax.runs.trained import load_trained
from tests.tiny_config import four_steps


@pytest.fixture
def old_run(trained_run, tmp_path):
    """A run as an earlier version would have written it."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    config = json.loads((run / "config.json").read_text())
    explain = config.pop("explain")
    for old, new in MOVED.items():
        config["evaluation"][old.removeprefix("evaluation.")] = explain[new.removeprefix("explain.")]
    (run / "config.json").write_text(json.dumps(config))
    return run


def test_every_moved_field_has_a_place_today():
    assert set(MOVED.values()) <= set(settings())
    assert not set(MOVED) & set(settings())


def test_an_old_run_is_read_with_the_names_of_today(old_run):
    trained = load_trained(old_run)
    assert (trained.config.explain.images, trained.config.explain.steps) == (8, 2)
    assert read_run(old_run).config["explain.images"] == "8"
    assert "evaluation.faithfulness_images" not in read_run(old_run).config


def test_an_old_run_goes_on_with_the_same_config_and_no_other(old_run):
    check_run_folder(four_steps(), old_run)
    other = four_steps()
    other.explain.images = 9
    with pytest.raises(UserError, match=r"config\.explain\.images was 8, is 9"):
        check_run_folder(other, old_run)


def test_a_flag_of_an_old_name_is_told_the_new_one(old_run, capsys):
    assert evaluate(["", f"--workdir={old_run}", "--config.evaluation.fill=blur"]) == 2
    assert "--config.evaluation.fill is called --config.explain.fill now" in capsys.readouterr().err


def test_a_config_file_of_an_old_name_is_told_the_new_one():
    config = four_steps()
    config.evaluation.fill = "blur"
    with pytest.raises(UserError, match=r"config\.evaluation\.fill is called config\.explain\.fill now"):
        check(config)


def test_content_of_the_wrong_kind_is_left_to_the_reader():
    assert with_new_names({"evaluation": 3, "seed": 1}) == {"evaluation": 3, "seed": 1}
    mixed = with_new_names({"evaluation": {"fill": "blur"}, "explain": {"fill": "mean"}})
    assert mixed == {"evaluation": {}, "explain": {"fill": "mean"}}
    assert with_new_names({"evaluation": {"fill": "blur"}, "explain": 3}) == {"evaluation": {}, "explain": 3}
