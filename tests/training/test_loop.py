"""Whole runs on small images: what they write, how they stop, and that resumed runs end bit-identical."""

import hashlib
import json
import shutil
import signal

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax.cli.comparison import run_all
from align_jax.errors import UserError
from align_jax.models import pretrained
from align_jax.optimizers import OPTIMIZERS
from align_jax.runs.checkpoints import Checkpoints
from align_jax.runs.read_checkpoint import read_position, saved_steps
from align_jax.runs.trained import load_trained
from align_jax.runtime.interruption import Interrupted
from align_jax.runtime.locks import lock
from align_jax.training import train_and_evaluate
from align_jax.training.clock import PARTS
from align_jax.training.diagnostics import CollapseWarning
from align_jax.training.progress import Progress
from tests.processes import finish, log_without_times, same_but_for_timing, start, states, wait_for
from tests.tiny_config import four_steps, get_config


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    """One complete run, by the command line."""
    run = tmp_path_factory.mktemp("runs") / "whole"
    return run, finish(run)


def test_a_run_leaves_what_the_readme_says(uninterrupted):
    run, errors = uninterrupted
    summary = json.loads((run / "summary.json").read_text())
    assert (summary["algorithm"], summary["guidance"], summary["step"]) == ("align", "learned", 8)
    assert summary["best_step"] in (4, 8)
    assert summary["selection"] == "training_domain_validation"
    rows = {(row["domain"], row["role"]): row for row in summary["results"]}
    assert set(rows) == {("dark", "id"), ("grey", "id"), ("bright", "ood")}
    assert 0 <= summary["validation_accuracy"] <= 1
    for row in rows.values():
        assert row["examples"] == 12
        assert {"accuracy", "accuracy_standard_error", "mask_mean", "cam_energy", "comprehensiveness", "sufficiency",
                "insertion_auc", "random_comprehensiveness"} <= row.keys()  # fmt: skip
    timing = summary["timing"]
    assert 0 <= timing["data_wait_fraction"] <= 1
    assert sum(timing[f"{part}_s"] for part in PARTS) == pytest.approx(timing["wall_s"])
    assert all(timing[f"{part}_s"] > 0 for part in ("start", "compile", "compute", "evaluation", "saving", "other"))
    assert "<html" in (run / "report" / "index.html").read_text()
    assert {path.name for path in (run / "gallery").iterdir()} == {"before_guidance.npz", "final.npz"}
    assert "masker" in errors
    assert "6 over all devices, 6 a device, 3 a domain" in errors


def test_the_log_has_a_line_for_every_loss_and_every_domain(uninterrupted):
    run, _ = uninterrupted
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert [(line["step"], line["phase"]) for line in train] == [
        (2, "warmup"), (3, "warmup"), (4, "rounds"), (6, "rounds"), (8, "rounds")
    ]  # fmt: skip
    assert "classifier/egl" not in train[0]
    assert {"classifier/egl", "masker/distinction", "masker/sparsity", "masker/smoothness", "images_per_s"} <= train[
        -1
    ].keys()
    evaluated = [(line["step"], line["role"], line["domain"]) for line in lines if line["split"] != "train"]
    assert len(evaluated) == len(set(evaluated)) == 10


def test_the_selected_checkpoint_is_the_best_on_validation_and_is_kept(uninterrupted):
    run, _ = uninterrupted
    lines = [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]
    validation = {
        step: np.mean([line["accuracy"] for line in lines if line["step"] == step and line.get("role") == "validation"])
        for step in (4, 8)
    }
    best = json.loads((run / "summary.json").read_text())["best_step"]
    assert validation[4] != validation[8], "every choice would be the best"
    assert validation[best] == max(validation.values())
    assert (run / "checkpoints" / str(best)).is_dir()


def test_killed_in_the_middle_of_a_save_it_ends_bit_identical(uninterrupted, tmp_path):
    for attempt in range(5):
        run = tmp_path / f"killed{attempt}"
        process = start(run)
        # Orbax writes into a folder with `tmp` in its name. Not the first save, so that there is one to resume from.
        wait_for(lambda run=run: (run / "checkpoints" / "2").is_dir() and any(run.glob("checkpoints/*tmp*")), process)
        process.send_signal(signal.SIGKILL)
        process.communicate()
        if any(run.glob("checkpoints/*tmp*")):
            break
    else:
        pytest.fail("the save always ended before the process was killed")
    assert not (run / "summary.json").exists()
    resumed = start(run)
    _, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, errors
    assert "resuming at step" in errors
    jax.tree.map(np.testing.assert_array_equal, states(run), states(uninterrupted[0]))
    assert not any(run.glob("checkpoints/*tmp*"))
    same_but_for_timing(run, uninterrupted[0])


def test_a_request_that_comes_while_a_step_is_logged_is_saved_at_the_next_step(tmp_path, monkeypatch):
    show = Progress.show

    def stopping(self, step, *rest):
        # Step 3 ends the warm-up: it is logged, and has no checkpoint.
        if step == 3:
            signal.raise_signal(signal.SIGTERM)
        return show(self, step, *rest)

    monkeypatch.setattr(Progress, "show", stopping)
    with pytest.raises(Interrupted, match="after step 4 of 8, which is saved"):
        train_and_evaluate(get_config(), tmp_path / "run")
    assert saved_steps(tmp_path / "run" / "checkpoints") == [2, 4]


def stop_after_each(config, run, steps, monkeypatch):
    """Starts a run, and goes on with it, once for each of these steps; it is asked to stop after every update."""
    advance = Progress.advance

    def stopping(self, taken):
        signal.raise_signal(signal.SIGTERM)
        return advance(self, taken)

    with monkeypatch.context() as patched:
        patched.setattr(Progress, "advance", stopping)
        for step in steps:
            with pytest.raises(Interrupted, match=f"after step {step} of 8, which is saved"):
                train_and_evaluate(config, run)


def test_a_run_that_is_stopped_between_two_lines_of_its_log_has_the_same_log(uninterrupted, tmp_path, monkeypatch):
    run = tmp_path / "run"
    stop_after_each(get_config(), run, (1, 2, 3), monkeypatch)
    before = read_position(run / "checkpoints" / "3").timing
    timing = train_and_evaluate(get_config(), run)["timing"]
    assert sum(timing[f"{part}_s"] for part in PARTS) == pytest.approx(timing["wall_s"])
    assert set(before) == {f"{part}_s" for part in PARTS}
    assert all(timing[part] >= seconds for part, seconds in before.items()), "the seconds of earlier starts are lost"
    assert log_without_times(run) == log_without_times(uninterrupted[0])


@pytest.mark.parametrize(("number", "status"), [(signal.SIGTERM, 143), (signal.SIGINT, 130)])
def test_asked_to_stop_it_saves_says_how_to_go_on_and_ends(uninterrupted, tmp_path, number, status):
    run = tmp_path / "stopped"
    process = start(run)
    # After the first line of the log, wherever the run is then: in compilation or in an evaluation.
    wait_for(lambda: (run / "metrics.jsonl").exists() and (run / "metrics.jsonl").stat().st_size > 0, process)
    process.send_signal(number)
    _, errors = process.communicate(timeout=600)
    assert process.returncode == status, errors
    assert f"Stopped by {number.name} after step" in errors
    assert "the same command goes on from there" in errors
    assert "Traceback" not in errors
    resumed = start(run)
    _, errors = resumed.communicate(timeout=600)
    assert resumed.returncode == 0, errors
    jax.tree.map(np.testing.assert_array_equal, states(run), states(uninterrupted[0]))
    assert log_without_times(run) == log_without_times(uninterrupted[0])


def test_a_complete_run_is_not_repeated(uninterrupted, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    before = (run / "metrics.jsonl").stat().st_mtime_ns
    summary = train_and_evaluate(get_config(), run)
    assert summary == json.loads((run / "summary.json").read_text())
    assert (run / "metrics.jsonl").stat().st_mtime_ns == before


def test_another_config_in_the_same_folder_is_refused(uninterrupted):
    config = get_config()
    config.optim.lr = 0.5
    with pytest.raises(UserError, match=r"config.optim.lr was 0.01, is 0.5\); give the same config"):
        train_and_evaluate(config, uninterrupted[0])


def test_other_data_in_the_same_folder_are_refused(uninterrupted, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    (run / "summary.json").unlink()
    description = json.loads((run / "data.json").read_text())
    assert description["class_names"] == ["red", "green", "blue"]
    assert description["examples"]["train"] == {"dark": 30, "grey": 30}
    description["examples"]["train"]["dark"] = 29
    (run / "data.json").write_text(json.dumps(description))
    with pytest.raises(UserError, match="began with other data \\(examples changed"):
        train_and_evaluate(get_config(), run)


@pytest.mark.parametrize(
    ("protocol", "roles"),
    [("in_domain", {("dark", "id")}), ("single_source", {("dark", "id"), ("grey", "ood"), ("bright", "ood")})],
)
def test_other_protocols_and_the_last_step(tmp_path, protocol, roles):
    config = get_config()
    config.algorithm, config.selection = "erm", "last"
    config.data.protocol, config.data.domain = protocol, "dark"
    config.schedule.length, config.evaluation.every = 4, 2
    summary = train_and_evaluate(config, tmp_path)
    assert {(row["domain"], row["role"]) for row in summary["results"]} == roles
    assert (summary["protocol"], summary["domain"], summary["best_step"]) == (protocol, "dark", 4)
    assert summary["train_domains"] == ["dark"]
    for row in summary["results"]:
        assert row["balanced_accuracy"] == pytest.approx(np.mean(list(row["per_class_accuracy"].values())))


def test_divergence_stops_names_the_step_and_keeps_the_last_good_checkpoint(tmp_path, monkeypatch):
    """Three good updates, then one that destroys the parameters: the next loss is the first that is not finite."""
    exploding = optax.sgd(lambda step: jnp.where(step < 3, 1e-3, 1e30))
    monkeypatch.setitem(OPTIMIZERS, "sgd", lambda weight_decay: exploding)
    config = get_config()
    config.algorithm, config.optim.name = "erm", "sgd"
    config.checkpoint_every, config.evaluation.every = 1, 8
    with pytest.raises(UserError, match=r"diverged: .* at step 4; the last good checkpoint is step 3 in .*optim\.lr"):
        train_and_evaluate(config, tmp_path / "run")
    leaves = jax.tree.leaves(states(tmp_path / "run", 3))
    assert all(np.isfinite(leaf).all() for leaf in leaves if leaf.dtype.kind == "f")


def test_a_comparison_has_a_folder_for_each_method_and_a_page_above_them(tmp_path):
    config = get_config()
    config.compare = ("erm",)
    config.schedule.length, config.evaluation.every = 4, 4
    report = run_all(config, tmp_path)
    assert report == tmp_path / "report" / "index.html"
    for method in ("align", "erm"):
        assert (tmp_path / method / "summary.json").exists()
    assert json.loads((tmp_path / "erm" / "summary.json").read_text())["guidance"] == "none"
    assert not (tmp_path / "erm" / "gallery" / "before_guidance.npz").exists()


@pytest.mark.parametrize("guidance", ["true", "none"])
def test_other_guidance_trains_no_masker(tmp_path, guidance):
    config = get_config()
    config.guidance = guidance
    config.schedule.length, config.evaluation.every, config.schedule.warmup = 4, 4, 1.0
    summary = train_and_evaluate(config, tmp_path)
    assert summary["guidance"] == guidance
    assert all("mask_mean" not in row for row in summary["results"])
    last = [json.loads(line) for line in (tmp_path / "metrics.jsonl").read_text().splitlines() if "train" in line][-1]
    assert ("classifier/egl" in last) == (guidance == "true")


@pytest.mark.parametrize(("mean", "everywhere"), [(0.01, "0"), (0.99, "1")])
def test_collapsed_masks_are_reported_once_with_a_remedy(mean, everywhere):
    said = []
    warning = CollapseWarning(said.append)
    for step, value in enumerate([0.5, mean, mean, 0.4, mean]):
        warning.look(step, {"masker/mask_mean": value})
    assert len(said) == 2
    assert f"they are {everywhere} almost everywhere" in said[0]
    assert "config.align.masker.sparsity" in said[0]


def test_pretrained_weights_are_where_training_begins_and_are_named_in_the_results(tmp_path):
    """The exported classifier of a first run begins the second run; at a learning rate near zero it stays the same."""
    config = get_config()
    config.algorithm, config.schedule.length, config.evaluation.every, config.schedule.warmup = "erm", 4, 4, 1.0
    train_and_evaluate(config, tmp_path / "first")
    before = load_trained(tmp_path / "first").states[0]
    weights = pretrained.save_weights(tmp_path / "weights.safetensors", before.params, before.batch_stats)

    config.classifier.pretrained, config.optim.lr, config.seed = str(weights), 1e-12, 7
    config.classifier.freeze_batch_norm = True
    summary = train_and_evaluate(config, tmp_path / "second")
    after = load_trained(tmp_path / "second").states[0]
    for name in ("params", "batch_stats"):
        jax.tree.map(
            lambda x, y: np.testing.assert_allclose(x, y, atol=1e-9), getattr(after, name), getattr(before, name)
        )
    sha256 = hashlib.sha256(weights.read_bytes()).hexdigest()
    assert summary["pretrained"] == {"source": str(weights), "sha256": sha256}

    # A stopped run resumes without the file.
    (tmp_path / "second" / "summary.json").unlink()
    weights.unlink()
    assert train_and_evaluate(config, tmp_path / "second")["pretrained"]["sha256"] == sha256


def test_missing_weights_leave_no_folder(tmp_path):
    config = get_config()
    config.classifier.pretrained = str(tmp_path / "none.safetensors")
    with pytest.raises(UserError, match=r"none\.safetensors"):
        train_and_evaluate(config, tmp_path / "run")
    assert not (tmp_path / "run").exists()


def test_two_processes_in_one_folder_are_refused(uninterrupted, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    (run / "summary.json").unlink()
    with lock(run / ".training.lock"), pytest.raises(UserError, match="Another process is training in"):
        train_and_evaluate(get_config(), run)


@pytest.mark.parametrize(
    ("name", "content"),
    [("config.json", "[]"), ("summary.json", '{"a":'), ("summary.json", ""), ("summary.json", "[]"),
     ("summary.json", "{}"), ("data.json", "[]")],
)  # fmt: skip
def test_a_damaged_file_is_named_with_a_remedy(uninterrupted, tmp_path, name, content):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    if name != "summary.json":
        (run / "summary.json").unlink()
    (run / name).write_text(content)
    with pytest.raises(UserError, match=f"{name} (is not JSON|holds a JSON list|lacks results).*(delete it|put back)"):
        train_and_evaluate(get_config(), run)


def test_the_advice_for_a_summary_that_is_not_ours_works(uninterrupted, tmp_path):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    (run / "summary.json").write_text('{"results": []}')
    with pytest.raises(UserError, match=r"summary\.json .*delete it, and the same training command writes it again"):
        run_all(get_config(), run)
    (run / "summary.json").unlink()
    run_all(get_config(), run)
    same_but_for_timing(run, uninterrupted[0])
    assert log_without_times(run) == log_without_times(uninterrupted[0])


def test_with_a_damaged_newest_checkpoint_it_goes_on_from_the_one_before(uninterrupted, tmp_path, capfd):
    run = tmp_path / "copy"
    shutil.copytree(uninterrupted[0], run)
    (run / "summary.json").unlink()
    for file in (run / "checkpoints" / "8").rglob("*"):
        if file.is_file() and "ocdbt" in str(file):
            file.write_bytes(file.read_bytes()[: file.stat().st_size // 2])
    train_and_evaluate(get_config(), run)
    said = capfd.readouterr().err
    assert said.count("WARNING") == 1
    assert "the run goes on from step 6" in said
    assert all(line.startswith("[align]") for line in said.splitlines())
    assert (run / "checkpoints" / "8.damaged" / "states").is_dir()
    jax.tree.map(np.testing.assert_array_equal, states(run), states(uninterrupted[0]))
    same_but_for_timing(run, uninterrupted[0])
    assert log_without_times(run) == log_without_times(uninterrupted[0])


def test_a_selected_checkpoint_that_is_lost_at_the_end_leaves_the_last_one(tmp_path, monkeypatch, capfd):
    save = Checkpoints.save

    def losing(self, states, position):
        save(self, states, position)
        if position.step == 4:
            shutil.rmtree(tmp_path / "run" / "checkpoints" / "2")

    monkeypatch.setattr(Checkpoints, "save", losing)
    # Whatever is evaluated, step 2 is better.
    monkeypatch.setattr("align_jax.training.loop.mean_accuracy", lambda evaluated, role: 0.0)
    monkeypatch.setattr("align_jax.evaluation.selection.mean_accuracy", lambda evaluated, role: 0.0)
    summary = train_and_evaluate(four_steps(), tmp_path / "run")
    assert summary["best_step"] == 4
    assert "2 is missing; the last step is reported" in capfd.readouterr().err
