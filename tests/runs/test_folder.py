"""A folder that holds a run: which settings may change when it goes on, and which may not."""

import json
import re
import shutil
from pathlib import Path

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from align_jax.configuration import settings
from align_jax.errors import UserError
from align_jax.runs.folder import FREE_TO_CHANGE, check_or_write_data, check_run_folder
from align_jax.training import train_and_evaluate
from tests.tiny_config import four_steps


def states(run, step):
    with ocp.training.Checkpointer((run / "checkpoints").absolute()) as checkpointer:
        return jax.tree.map(np.asarray, checkpointer.load_checkpointables(step)["states"])


def training_lines(run):
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    return {line["step"]: line for line in lines if line["split"] == "train"}


def test_what_is_free_to_change_does_not_change_the_results(trained_run, tmp_path):
    """Stopped after two of four steps, and resumed in another way."""
    run = Path(shutil.copytree(trained_run, tmp_path / "run"))
    shutil.rmtree(run / "checkpoints" / "4")
    for name in ("summary.json", "predictions.npz"):
        (run / name).unlink()
    config = four_steps()
    config.evaluation.batch_size, config.data.threads, config.data.prefetch = 5, 1, 7
    config.log_every = config.checkpoint_every = 1
    summary, whole = train_and_evaluate(config, run), json.loads((trained_run / "summary.json").read_text())

    jax.tree.map(np.testing.assert_array_equal, states(run, 4), states(trained_run, 4))
    assert training_lines(run).keys() == training_lines(trained_run).keys() | {3} == {1, 2, 3, 4}
    assert {name: summary[name] for name in ("step", "best_step")} == {
        name: whole[name] for name in ("step", "best_step")
    }
    for row, before in zip(summary["results"], whole["results"], strict=True):
        assert "random_insertion_auc" in row
        for name, value in before.items():
            assert row[name] == (pytest.approx(value, rel=1e-4, abs=1e-6) if isinstance(value, float) else value), name


def test_what_is_not_free_is_refused_with_what_is(trained_run):
    config = four_steps()
    config.optim.lr = 1.0
    with pytest.raises(UserError, match=r"config\.optim\.lr was 0\.01, is 1\.0") as caught:
        check_run_folder(config, trained_run)
    free = re.search("Only (.*) may change", str(caught.value)).group(1).split(", ")
    assert tuple(free) == FREE_TO_CHANGE
    assert set(free) <= set(settings())
    documented = (Path(__file__).parents[2] / "docs" / "trained_runs.md").read_text()
    assert all(f"`{field}`" in documented for field in free)


def test_only_what_is_free_is_accepted(trained_run):
    for field, setting in settings().items():
        config = four_steps()
        *groups, name = field.split(".")
        group = config
        for part in groups:
            group = group[part]
        other = {bool: not group[name], int: 77, float: 0.77, str: "other", tuple: ("erm", 7)}[type(setting.default)]
        with group.ignore_type():
            group[name] = other
        if field in FREE_TO_CHANGE:
            check_run_folder(config, trained_run)
        else:
            with pytest.raises(UserError, match="holds a run with another config"):
                check_run_folder(config, trained_run)


def test_a_run_goes_on_when_its_data_set_has_more_tests_now_and_not_when_what_it_had_changed(tmp_path):
    """As a run of emoji_scenes does that began before the data set had tests of aligned backgrounds."""
    began = {"name": "squares", "examples": {"train": {"dark": 30}, "test": {"dark": 12}}}
    assert check_or_write_data(began, tmp_path) == began
    more = began | {"examples": began["examples"] | {"test_aligned": {"dark": 12}}}
    assert check_or_write_data(more, tmp_path) == began
    for split in ("train", "test"):
        fewer = began["examples"] | {split: {"dark": 11}}
        with pytest.raises(UserError, match=r"began with other data \(examples changed"):
            check_or_write_data(began | {"examples": fewer}, tmp_path)
    with pytest.raises(UserError, match="examples changed"):
        check_or_write_data(began | {"examples": {"train": {"dark": 30}}}, tmp_path)
