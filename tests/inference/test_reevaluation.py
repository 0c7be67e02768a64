"""A run evaluated again: the numbers of its summary, roles by its training data, and nothing overwritten."""

import dataclasses
import json
import shutil
from pathlib import Path

import numpy as np
import pytest

from align_jax.cli.evaluate import main as evaluate
from align_jax.data import load
from align_jax.data.domains import Changed, Part
from align_jax.evaluation.evaluator import Evaluator
from align_jax.inference.reevaluation import _absent_classes
from tests.tiny_config import CLASSES, load_squares

ROWS = ("domain", "split", "role")


@pytest.fixture(scope="module")
def run(trained_run, tmp_path_factory):
    """Trained on dark and grey squares, bright ones held out."""
    return Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def step(run):
    """The selected one."""
    return json.loads((run / "summary.json").read_text())["best_step"]


@pytest.fixture
def unscored(monkeypatch):
    """Scores nothing, for tests that look only at the roles."""
    by_class = dict.fromkeys(CLASSES, 0.5)
    scores = {"examples": 12, "accuracy": 0.5, "per_class_accuracy": by_class}
    monkeypatch.setattr(Evaluator, "results", lambda *arguments: (scores, {}))


def evaluated(run, *flags):
    """The evaluation that the command wrote to --out."""
    out = run.parent / "evaluation.json"
    assert evaluate(["", f"--workdir={run}", f"--out={out}", *flags]) == 0
    return json.loads(out.read_text())


def roles(evaluation):
    return {(row["domain"], row["split"]): row["role"] for row in evaluation["results"]}


def flagged(evaluation):
    return {(row["domain"], row["split"]) for row in evaluation["results"] if row.get("may_hold_training_images")}


def refusal(capsys, run, *flags):
    assert evaluate(["", f"--workdir={run}", *flags]) == 2
    error = capsys.readouterr().err
    assert len(error.splitlines()) == 1, error
    return error


def test_on_its_own_data_it_gives_the_summarys_numbers(run, step, capsys):
    before = (run / "summary.json").read_bytes()
    assert evaluate(["", f"--workdir={run}"]) == 0
    path = run / "evaluations" / f"squares-leave_one_out-bright-step{step}.json"
    assert str(path) in capsys.readouterr().out
    rows = json.loads(path.read_text())["results"]
    assert [row for row in rows if row["role"] != "validation"] == json.loads(before)["results"]
    assert {(row["domain"], row["split"]) for row in rows if row["role"] == "validation"} == {
        ("dark", "validation"), ("grey", "validation")
    }  # fmt: skip
    assert not flagged({"results": rows})
    assert (run / "summary.json").read_bytes() == before


def test_roles_are_relative_to_what_was_trained_on(run, unscored, capsys):
    """dark was trained on and is now held out; bright was held out and is now split for training."""
    evaluation = evaluated(run, "--config.data.domain=dark")
    assert roles(evaluation) == {
        ("grey", "validation"): "validation", ("grey", "test"): "id",
        ("bright", "validation"): "ood", ("bright", "test"): "ood", ("dark", "test"): "id",
    }  # fmt: skip
    assert flagged(evaluation) == {("dark", "test")}, "the whole domain holds training images"
    table = capsys.readouterr().out
    assert "dark *" in table
    assert "may have been trained on" in table


def test_other_splits_may_hold_training_images(run, unscored):
    evaluation = evaluated(run, "--config.data.split_seed=1")
    assert flagged(evaluation) == {(d, s) for d in ("dark", "grey") for s in ("validation", "test")}


def test_on_another_data_set_everything_is_out_of_distribution(run, unscored, monkeypatch):
    def renamed(config):
        return dataclasses.replace(load_squares(config), name="others")

    monkeypatch.setitem(load.DATASETS, "others", renamed)
    evaluation = evaluated(run, "--config.data.name=others")
    assert set(roles(evaluation).values()) == {"ood"}
    assert not flagged(evaluation)
    assert evaluation["dataset"] == "others"


def with_classes(monkeypatch, name, class_names, kept=range(3)):
    """The squares as another data set: `class_names` are those of the colours in `kept`, numbered from 0."""

    def fewer(split):
        indices = np.array([i for i in range(len(split.source)) if split.source[i]["label"] in kept])
        source = Changed(Part(split.source, indices), lambda e: e | {"label": np.int64(kept.index(int(e["label"])))})
        return dataclasses.replace(split, source=source)

    def loaded(config):
        data = load_squares(config)
        evaluation = [fewer(split) for split in data.evaluation]
        return dataclasses.replace(data, name=name, class_names=class_names, evaluation=evaluation)

    monkeypatch.setitem(load.DATASETS, name, loaded)


def test_classes_in_another_order_are_matched_by_name(run, monkeypatch):
    with_classes(monkeypatch, "reordered", ("blue", "red", "green"), kept=(2, 0, 1))
    own, reordered = evaluated(run), evaluated(run, "--config.data.name=reordered")
    assert reordered["class_names"] == ["red", "green", "blue"]
    for before, now in zip(own["results"], reordered["results"], strict=True):
        assert now["per_class_accuracy"] == before["per_class_accuracy"]
        assert now["auc"] == before["auc"]


def test_a_site_that_lacks_a_class_is_scored_on_the_others(run, monkeypatch, capsys):
    with_classes(monkeypatch, "site", ("blue", "red"), kept=(2, 0))
    own = evaluated(run)["results"]
    capsys.readouterr()
    site = evaluated(run, "--config.data.name=site")["results"]
    table = capsys.readouterr().out
    assert "No image of green in any split: the scores are of the other classes." in table
    assert "nan" not in table.lower()
    for before, now in zip(own, site, strict=True):
        others = {name: value for name, value in before["per_class_accuracy"].items() if name != "green"}
        assert now["per_class_accuracy"] == pytest.approx(others)
        assert now["classes_without_examples"] == ["green"]
        assert now["examples"] == before["examples"] * 2 // 3
        assert now["balanced_accuracy"] == pytest.approx(np.mean(list(others.values())))
        assert now["auc_classes_left_out"] == 1
        assert "classes_without_examples" not in before


def test_a_split_of_one_class_has_no_auc(run, monkeypatch, capsys):
    with_classes(monkeypatch, "site", ("green",), kept=(1,))
    site = evaluated(run, "--config.data.name=site")["results"]
    assert all("auc" not in row and row["accuracy"] == row["balanced_accuracy"] for row in site)
    assert "No image of red, blue in any split" in capsys.readouterr().out


def test_classes_that_the_run_does_not_know_are_refused_by_name(run, monkeypatch, capsys):
    with_classes(monkeypatch, "others", ("red", "Green", "violet"))
    error = refusal(capsys, run, "--config.data.name=others")
    assert "(Green, violet)" in error
    assert "(red, green, blue)" in error


def test_what_was_changed_is_in_the_files_name(run, step):
    assert evaluate(["", f"--workdir={run}", "--config.explain.images=2"]) == 0
    assert (run / "evaluations" / f"squares-leave_one_out-bright-step{step}-images2.json").exists(), (
        "other settings must not replace the evaluation with training's own"
    )


@pytest.mark.parametrize(
    ("flags", "parts"),
    [
        (["--config.optim.lr=1"], ["--config.optim.lr was fixed when the run was trained", "--config.data.FIELD"]),
        (["--config.data.rate=1"], ["config.data has no field 'rate'"]),
        (["--config.data.image_size=large"], ["image_size", "large"]),
        (["--config.data.image_size=33"], ["image_size is 33", "multiple of 4"]),
        (["--config.data.domain=nowhere"], ["'nowhere'", "dark, grey, bright"]),
        (["--step=7"], ["no checkpoint of step 7; it has 2, 4"]),
        (["--step=x"], ["step", "x"]),
        (["stray"], ["'stray' is not a flag"]),
        (["--outt=x"], ["--outt is not a flag"]),
    ],
)
def test_mistakes(run, capsys, flags, parts):
    error = refusal(capsys, run, *flags)
    for part in parts:
        assert part in error, error


def test_no_run_and_no_workdir(tmp_path, capsys):
    assert "has no config.json" in refusal(capsys, tmp_path)
    assert evaluate([""]) == 2
    assert "--workdir is missing" in capsys.readouterr().err


@pytest.mark.parametrize("name", ["summary.json", "config.json", "checkpoints/2/x.json", "../run/summary.json"])
def test_the_runs_own_files_are_never_written_over(run, capsys, name):
    before = (run / "summary.json").read_bytes()
    assert "own files" in refusal(capsys, run, f"--out={run / name}")
    assert (run / "summary.json").read_bytes() == before


def test_an_incomplete_run_can_be_evaluated(run, tmp_path):
    copy = Path(shutil.copytree(run, tmp_path / "run"))
    (copy / "summary.json").unlink()
    evaluation = evaluated(copy)
    summary = json.loads((run / "summary.json").read_text())
    accuracies = [row["accuracy"] for row in evaluation["results"] if row["role"] != "validation"]
    np.testing.assert_array_equal(accuracies, [row["accuracy"] for row in summary["results"]])
    assert not (copy / "summary.json").exists()


def test_absent_classes_are_counted_beyond_those_that_are_shown():
    absent = [f"c{number:02}" for number in range(14)]
    (sentence,) = _absent_classes([{"domain": "a", "split": "test", "classes_without_examples": absent}])
    assert "c09 and 4 more in any split" in sentence


def test_several_methods_have_every_control_beside_them_and_one_has_the_random_map(run):
    options = ("--config.explain.images=3", "--config.explain.steps=2", "--config.explain.metrics=comprehensiveness")
    (one, *_), (several, *_) = (
        evaluated(run, *options, f"--config.explain.methods={methods}")["results"]
        for methods in ("layer_cam", "layer_cam,gradient")
    )
    assert "further_methods" not in one
    assert set(several["further_methods"]) == {"gradient", "random", "centre", "edges"}
    for row in (one, several):
        assert np.isfinite(row["comprehensiveness"])
    assert several["comprehensiveness"] == pytest.approx(one["comprehensiveness"], abs=1e-6)
    further = {method: of["comprehensiveness"] for method, of in several["further_methods"].items()}
    assert further["random"] == several["random_comprehensiveness"]
    assert len(set(further.values())) == 4
