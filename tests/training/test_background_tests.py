"""Tests in which the background decides: evaluated once, at the end, and reported in pairs."""

import dataclasses
import json

import numpy as np
import pytest

from align_jax.cli.evaluate import main as evaluate
from align_jax.data import load
from align_jax.data.domains import BACKGROUND_ROLES, Changed, EvaluationSplit
from align_jax.runs.read import read_run
from align_jax.runs.read_arrays import read_backgrounds
from align_jax.runs.read_metrics import read_metrics
from align_jax.training import train_and_evaluate
from tests.tiny_config import CLASSES, DOMAINS, Squares, four_steps, load_squares

ROLES = {role for roles in BACKGROUND_ROLES.values() for role in roles}
# The colour of a square's surroundings: its own class's, none, and another class's.
SHIFTS = {"test_aligned": 0, "test_neutral": None, "test_conflicting": 1}


def with_object(example):
    return example | {"object": example["id"]}


def on_a_background(split):
    """The squares of a test, with everything around them in a class's colour."""
    shift = SHIFTS[split]

    def changed(example):
        number = None if shift is None else (int(example["label"]) + shift) % 3
        colour = np.full(3, 128, np.uint8) if number is None else np.eye(3, dtype=np.uint8)[number] * 255
        image = np.where(example["mask"] > 0, example["image"], colour)
        group = "grey" if number is None else CLASSES[number]
        return with_object(example) | {"image": image, "group": group}

    return changed


def load_on_backgrounds(config):
    """The squares, with three more tests of each domain."""
    data = load_squares(config)
    more = [
        EvaluationSplit(
            domain, split, role, Changed(Squares(DOMAINS.index(domain), 2, 12), on_a_background(split))
        )
        for domain in DOMAINS
        for split, role in zip(SHIFTS, BACKGROUND_ROLES["id" if domain in data.train else "ood"], strict=True)
    ]  # fmt: skip
    named = [dataclasses.replace(split, source=Changed(split.source, with_object)) for split in data.evaluation]
    return dataclasses.replace(data, evaluation=[*named, *more])


@pytest.fixture(scope="module")
def run(tmp_path_factory):
    """A complete run; the data set is known as long as this module's tests run."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setitem(load.DATASETS, "squares_on_backgrounds", load_on_backgrounds)
        config = four_steps()
        config.data.name = "squares_on_backgrounds"
        run = tmp_path_factory.mktemp("runs") / "run"
        train_and_evaluate(config, run)
        yield run


@pytest.fixture(scope="module")
def summary(run):
    return json.loads((run / "summary.json").read_text())


def test_they_are_evaluated_at_the_end_only_and_without_faithfulness(run, summary):
    assert {line.role for line in read_metrics(run).evaluations} == {"validation", "id", "ood"}
    rows = {(row["role"], row["domain"]): row for row in summary["results"]}
    for key, row in rows.items():
        assert ("comprehensiveness" in row) == ("faithfulness_images" in row) == (key[0] not in ROLES)
    expected = {(r, d) for d in ("dark", "grey") for r in ("id", *BACKGROUND_ROLES["id"])}
    assert rows.keys() == expected | {(role, "bright") for role in ("ood", *BACKGROUND_ROLES["ood"])}
    assert summary["held_out_domains"] == ["bright"]


def test_the_gap_is_that_of_the_rows_and_flips_those_of_the_predictions(run, summary):
    accuracy = {(row["role"], row["domain"]): row["accuracy"] for row in summary["results"]}
    gaps = {gap["domain"]: gap for gap in summary["background_gaps"]}
    assert {domain: gap["role"] for domain, gap in gaps.items()} == {"dark": "id", "grey": "id", "bright": "ood"}
    with np.load(run / "predictions.npz") as arrays:
        for domain, gap in gaps.items():
            aligned, _, conflicting = BACKGROUND_ROLES[gap["role"]]
            assert gap["gap"] == pytest.approx(accuracy[aligned, domain] - accuracy[conflicting, domain])
            predicted = [arrays[f"{domain}/{split}/probabilities"].argmax(-1) for split in SHIFTS]
            assert gap["flips"] == np.mean(predicted[0] != predicted[2])
            assert set(arrays[f"{domain}/test_conflicting/group"]) == set(CLASSES)


def test_the_reader_has_gap_and_flips_beside_the_plain_test(run, summary):
    values = {(result.role, result.domain): result.values for result in read_run(run).results}
    for gap in summary["background_gaps"]:
        assert values[gap["role"], gap["domain"]]["gap"] == gap["gap"]
        assert values[gap["role"], gap["domain"]]["flips"] == gap["flips"]
    assert sum("gap" in of_result for of_result in values.values()) == 3


def test_the_run_keeps_an_object_on_all_its_backgrounds(run):
    kept = read_backgrounds(run)
    assert kept.role == ("id", *BACKGROUND_ROLES["id"], "ood", *BACKGROUND_ROLES["ood"])
    assert kept.domain == ("dark",) * 4 + ("bright",) * 4
    for of_object in (slice(0, 4), slice(4, 8)):
        assert len({mask.tobytes() for mask in kept.true_mask[of_object]}) == 1
        assert len({image.tobytes() for image in kept.image[of_object]}) == 4


def test_an_evaluation_has_the_same_rows_and_gaps(run, summary, tmp_path, capsys):
    out = tmp_path / "evaluation.json"
    assert evaluate(["", f"--workdir={run}", f"--out={out}"]) == 0
    again = json.loads(out.read_text())
    assert [row for row in again["results"] if row["role"] != "validation"] == summary["results"]
    assert again["background_gaps"] == summary["background_gaps"]
    printed = capsys.readouterr().out
    for gap in summary["background_gaps"]:
        assert f"{gap['domain']} gap {100 * gap['gap']:.1f} ± ".replace("-", "−") in printed
        assert f"flips {100 * gap['flips']:.1f} ± {100 * gap['flips_standard_error']:.1f}" in printed


def test_roles_follow_what_the_run_was_trained_on(run, tmp_path):
    """dark was trained on and is now held out; bright is the other way round."""
    out = tmp_path / "evaluation.json"
    assert evaluate(["", f"--workdir={run}", f"--out={out}", "--config.data.domain=dark"]) == 0
    again = json.loads(out.read_text())
    roles = {(row["domain"], row["split"]): row["role"] for row in again["results"]}
    for domain, plain in (("dark", "id"), ("grey", "id"), ("bright", "ood")):
        assert tuple(roles[domain, split] for split in SHIFTS) == BACKGROUND_ROLES[plain]
    assert {gap["domain"]: gap["role"] for gap in again["background_gaps"]} == {
        "dark": "id", "grey": "id", "bright": "ood"
    }  # fmt: skip
