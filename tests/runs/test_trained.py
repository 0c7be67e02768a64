"""A run read back from its folder: the right checkpoint, on any device, and one sentence for whatever is wrong."""

import json
import os
import shutil
import subprocess
import sys
from pathlib import Path

import jax
import numpy as np
import pytest
from safetensors.numpy import load_file

from align_jax.cli.evaluate import main as evaluate
from align_jax.cli.export import main as export
from align_jax.errors import UserError
from align_jax.runs.checkpoints import Checkpoints
from align_jax.runs.trained import load_trained
from tests.tiny_config import CLASSES, four_steps

ROOT = Path(__file__).parents[2]


@pytest.fixture
def run(trained_run, tmp_path):
    return Path(shutil.copytree(trained_run, tmp_path / "run"))


def refusal(run, step=None):
    with pytest.raises(UserError) as caught:
        load_trained(run, step)
    assert "\n" not in str(caught.value)
    return str(caught.value)


def change(path, **fields):
    path.write_text(json.dumps(json.loads(path.read_text()) | fields))


def saved_parameters(run, step):
    """By Orbax, without anything that this library knows."""
    checkpoints = Checkpoints(run / "checkpoints")
    try:
        return checkpoints._checkpointer.load_checkpointables(step)["states"]
    finally:
        checkpoints.close()


@pytest.mark.parametrize("step", [2, 4])
def test_parameters_are_those_of_the_step(trained_run, step):
    trained = load_trained(trained_run, step)
    assert trained.step == step
    classifier, masker = saved_parameters(trained_run, step)
    jax.tree.map(np.testing.assert_array_equal, trained.states[0].params, classifier["params"])
    jax.tree.map(np.testing.assert_array_equal, trained.states[0].batch_stats, classifier["batch_stats"])
    jax.tree.map(np.testing.assert_array_equal, trained.states[1].params, masker["params"])
    assert int(trained.states[0].step) == step


def test_the_selected_step_and_what_was_trained_on(trained_run):
    trained = load_trained(trained_run)
    assert trained.step == json.loads((trained_run / "summary.json").read_text())["best_step"]
    assert trained.class_names == CLASSES
    assert trained.train_domains == ("dark", "grey")
    assert trained.config.to_json() == four_steps().to_json()
    assert trained.config.masker.widths == (4, 8)
    assert trained.defaulted == ()


def test_an_incomplete_run_gives_what_it_had_selected(run):
    """The newest checkpoint was saved before the evaluation at its step: what it knows of is the one at 2."""
    (run / "summary.json").unlink()
    assert load_trained(run).step == 2
    shutil.rmtree(run / "checkpoints" / "4")
    assert load_trained(run).step == 2, "nothing is selected yet: the newest"
    assert not (run / "summary.json").exists()


def test_a_method_of_the_users_own_does_not_stand_in_the_way(run):
    """Its group of settings, and its name, are unknown where its file was not imported; its networks are not."""
    change(run / "config.json", algorithm="mine", mine={"weight": 2.0, "kind": ["a", "b"]})
    trained = load_trained(run)
    assert trained.config.mine.weight == 2.0
    assert evaluate(["", f"--workdir={run}", "--config.explain.images=2"]) == 0


def test_reading_changes_nothing(run):
    (run / "checkpoints" / "6.orbax-checkpoint-tmp").mkdir()
    before = sorted(str(path) for path in run.rglob("*"))
    load_trained(run)
    assert sorted(str(path) for path in run.rglob("*")) == before, "a run that is being saved to must not be touched"


def test_other_devices_than_it_was_trained_on(trained_run):
    """One device saved it; four read it."""
    code = (
        "from pathlib import Path; import jax, tests.tiny_config; from align_jax.runs.trained import load_trained\n"
        f"trained = load_trained(Path({str(trained_run)!r}))\n"
        "print(len(jax.tree.leaves(trained.states)[0].sharding.device_set))"
    )
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "XLA_FLAGS": "--xla_force_host_platform_device_count=4"}
    result = subprocess.run(
        [sys.executable, "-c", code], env=environment, cwd=ROOT, capture_output=True, text=True, timeout=200
    )
    assert result.stdout.strip() == "4", result.stderr


def test_a_folder_that_is_no_run(run, tmp_path):
    assert "is not a folder" in refusal(tmp_path / "nowhere")
    assert f"the runs in it are {run}" in refusal(tmp_path)
    (tmp_path / "empty").mkdir()
    assert "has no config.json" in refusal(tmp_path / "empty")


def test_steps_that_are_not_there(run):
    assert "has no checkpoint of step 3; it has 2, 4." in refusal(run, 3)
    shutil.rmtree(run / "checkpoints")
    assert "is complete, but its checkpoints are gone" in refusal(run)
    (run / "summary.json").unlink()
    assert "has no checkpoint yet" in refusal(run)


@pytest.mark.parametrize("name", ["config.json", "data.json", "summary.json"])
@pytest.mark.parametrize("content", ["{", "[]", "\x00", "[" * 100_000])
def test_broken_files_are_named(run, name, content):
    (run / name).write_text(content)
    assert str(run / name) in refusal(run)


def test_configs_of_other_versions(run):
    path = run / "config.json"
    config = json.loads(path.read_text())
    del config["log_every"], config["align"]["fill"]
    path.write_text(json.dumps(config))
    assert set(load_trained(run).defaulted) == {"config.log_every", "config.align.fill"}
    config["data"]["held_out"] = "bright"
    path.write_text(json.dumps(config))
    assert "does not know (config.data.held_out)" in refusal(run)


@pytest.mark.parametrize(
    ("fields", "parts"),
    [
        ({"seed": "0"}, ["'0' for config.seed", "not of type int"]),
        ({"seed": True}, ["True for config.seed", "not of type int"]),
        ({"masker": 3}, ["3 for config.masker", "not a group of fields"]),
        ({"masker": {"widths": [[4], 8]}}, ["[[4], 8] for config.masker.widths", "not of type tuple"]),
        ({"masker": {"widths": [4, 16]}}, ["does not fit", "by config.json"]),
        ({"masker": {"widths": [-4, 8]}}, ["config.masker.widths is (-4, 8)"]),
    ],
)
def test_values_that_were_changed(run, fields, parts):
    change(run / "config.json", **fields)
    text = refusal(run)
    for part in parts:
        assert part in text, text


def test_a_number_of_400_digits_is_a_number(run):
    change(run / "config.json", rrr={"weight": 10**400})
    assert load_trained(run).config.rrr.weight == float("inf"), "which evaluation does not read"
    change(run / "config.json", data={"image_size": 10**400})
    assert "config.data.image_size is 1000" in refusal(run)


def test_other_classes_than_the_network_has(run):
    change(run / "data.json", class_names=["red", "green"])
    assert "params/fc/" in refusal(run)
    change(run / "data.json", class_names=["red", "red", "blue"])
    assert "class_names, or one of them twice" in refusal(run)
    (run / "data.json").unlink()
    assert load_trained(run).class_names == CLASSES, "from summary.json"


def test_a_damaged_checkpoint_is_named_with_one_that_is_whole(run):
    (arrays,) = (run / "checkpoints" / "4" / "states" / "ocdbt.process_0" / "d").iterdir()
    arrays.write_bytes(arrays.read_bytes()[: arrays.stat().st_size // 2])
    assert f"{arrays} is not as it was saved" in refusal(run, 4)
    assert "give --step=2," in refusal(run, 4)
    # Of an earlier version, whose checkpoints have no checksums, the damage is found when the arrays are read.
    for path in run.glob("checkpoints/*/checksums.json"):
        path.unlink()
    assert f"{run / 'checkpoints' / '4'} cannot be read" in refusal(run, 4)
    assert "has no checksums" in load_trained(run, 2).notes[0]


def test_another_checkpoint_takes_the_place_of_a_damaged_selected_one(run, capsys):
    change(run / "summary.json", best_step=2)
    assert load_trained(run).notes == ()
    description = run / "checkpoints" / "2" / "_CHECKPOINT_METADATA"
    before = description.read_bytes()
    description.write_bytes(before[:200])
    trained = load_trained(run)
    assert trained.step == 4
    assert str(description) in trained.notes[0]
    assert "the checkpoint of step 4 takes its place" in trained.notes[0]
    shutil.rmtree(description.parent)
    assert export(["", f"--workdir={run}", f"--to={run / 'weights.safetensors'}"]) == 0
    assert f"note: {description.parent} is missing; the checkpoint of step 4 takes its" in capsys.readouterr().err
    shutil.rmtree(run / "checkpoints" / "4" / "states")
    assert refusal(run).count("checkpoints/4 lacks") == 1


def test_a_damaged_newest_checkpoint_of_a_run_that_goes_on(run):
    (run / "summary.json").unlink()
    (run / "checkpoints" / "4" / "states" / "_METADATA").unlink()
    trained = load_trained(run)
    assert trained.step == 2
    assert "4 lacks states/_METADATA; the checkpoint of step 2 takes its place" in trained.notes[0]


def test_export_writes_what_was_trained(trained_run, tmp_path, capsys):
    assert export(["", f"--workdir={trained_run}", f"--to={tmp_path / 'weights.safetensors'}"]) == 0
    tensors = load_file(tmp_path / "weights.safetensors")
    kernel = np.asarray(load_trained(trained_run).states[0].params["fc"]["kernel"])
    np.testing.assert_array_equal(tensors["fc.weight"], kernel.T)
    assert export(["", f"--workdir={trained_run}", "--to=weights.pth"]) == 2
    assert "safetensors" in capsys.readouterr().err
