import json

import numpy as np
import pytest

from align_jax.runs.read import read_data, read_run
from align_jax.runs.read_arrays import read_gallery
from align_jax.runs.read_metrics import read_metrics


def edit_summary(run, **changes):
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def read_all(run):
    return read_run(run), read_metrics(run), read_gallery(run)


def test_a_cut_off_last_line_is_dropped_and_no_other(make_run):
    run = make_run()
    path = run / "metrics.jsonl"
    whole = read_metrics(run)
    path.write_bytes(path.read_bytes() + b'{"step": 620, "split": "tr\xc3')
    assert read_metrics(run) == whole
    number = len(path.read_bytes().split(b"\n"))
    path.write_bytes(path.read_bytes() + b'\n{"step": 640, "split": "train"}\n')
    with pytest.raises(ValueError, match=rf"{path}, line {number}, is not JSON .*delete that line"):
        read_metrics(run)


def test_a_step_written_twice_counts_once_and_the_later_line_wins(make_run):
    run = make_run()
    again = {"step": 40, "split": "train", "classifier/loss": 123.0}
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(json.dumps(again) + "\n")
    training = read_metrics(run).training
    steps = [line.step for line in training]
    assert steps == sorted(set(steps))
    assert training[1].values == {"classifier/loss": 123.0}


@pytest.mark.parametrize(
    ("line", "complaint"),
    [
        ({}, "lacks a step"),
        ({"step": "40"}, "step = '40', which is not a number"),
        ({"step": float("nan")}, "lacks a step that is finite"),
        ({"step": 1.79e308}, r"step = 1\.79e\+308, which is too large"),
        ({"step": 40, "split": 3}, "split = 3, which is not text"),
        ([40], "holds a JSON list"),
    ],
)
def test_a_broken_line_is_named(make_run, line, complaint):
    run = make_run()
    path = run / "metrics.jsonl"
    path.write_text(json.dumps(line) + "\n" + path.read_text())
    with pytest.raises(ValueError, match=rf"{path}, line 1, .*{complaint}.*; delete that line"):
        read_metrics(run)


def test_values_that_are_not_finite_stay_in_the_metrics(make_run):
    run = make_run()
    (run / "metrics.jsonl").write_text(
        '{"step": 1, "a": NaN, "b": ' + "9" * 400 + ', "c": true, "d": null, "e": "x"}\n'
    )
    (line,) = read_metrics(run).training
    assert np.isnan(line.values["a"])
    assert line.values["b"] == np.inf
    assert line.values.keys() == {"a", "b"}


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl", "gallery/final.npz"])
@pytest.mark.parametrize("content", [b"PK\x03\x04 half a file", b"[1, 2]\n[3]\n", b""])
def test_a_broken_file_is_named_in_one_sentence(make_run, name, content):
    run = make_run()
    (run / name).write_bytes(content)
    if name == "metrics.jsonl" and not content.startswith(b"["):
        # No lines, or one that was cut off: a run that was killed before it wrote anything.
        assert read_metrics(run).training == ()
        return
    with pytest.raises(ValueError, match=rf"{run / name}(, line 1,)? (is not JSON|holds a JSON|is broken)") as raised:
        read_all(run)
    assert "\n" not in str(raised.value)
    assert "again" in str(raised.value)


@pytest.mark.parametrize("name", ["config.json", "summary.json", "metrics.jsonl"])
def test_a_missing_file_is_named(make_run, name):
    run = make_run()
    (run / name).unlink()
    with pytest.raises(ValueError, match=f"{run / name} .*no such file.*again") as raised:
        read_all(run)
    assert "delete it" not in str(raised.value)


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"results": 3}, "results = 3, which is not a list"),
        ({"results": [{"domain": "noto"}]}, "lacks role"),
        (
            {"results": [{"domain": "noto", "role": "id", "accuracy": "high"}]},
            "accuracy = 'high', which is not a number",
        ),
        ({"timing": {"wall_s": "long"}}, "wall_s = 'long', which is not a number"),
        ({"timing": 5}, "timing = 5, which is not an object"),
        ({"class_names": 5}, "class_names = 5, which is not a list"),
        ({"algorithm": None}, "lacks algorithm"),
        ({"dataset": ""}, "has an empty dataset"),
        ({"best_step": 10**400}, "best_step = 1000.*…, which is too large"),
        ({"step": -(10**400)}, "step = -1000.*…, which is too large"),
        ({"seed": 10**400}, "seed = 1000.*…, which is too large"),
        (
            {"results": [{"domain": "noto", "role": "id", "examples": 10**400}]},
            "examples = 1000.*…, which is too large",
        ),
    ],
)
def test_a_summary_of_another_shape_is_refused(make_run, change, complaint):
    run = make_run()
    edit_summary(run, **change)
    with pytest.raises(ValueError, match=f"{complaint}; delete it, and the same training command"):
        read_run(run)


PAIR = {"class": "mammal", "group": "park", "examples": 12, "accuracy": 0.25}


def test_groups_of_a_result_are_read_with_the_worst_one(make_run):
    run = make_run()
    about = {"worst_group": {name: PAIR[name] for name in ("class", "group", "examples")}, "worst_group_accuracy": 0.25}
    row = {"domain": "noto", "role": "ood", "per_group_accuracy": [PAIR, PAIR | {"group": "  a\n b", "accuracy": 1}]}
    edit_summary(run, results=[row | about])
    (result,) = read_run(run).results
    assert result.groups == (("mammal", "park", 12, 0.25), ("mammal", "a b", 12, 1.0))
    assert result.worst_group == ("mammal", "park", 12, 0.25)
    assert result.values == {"worst_group_accuracy": 0.25}


@pytest.mark.parametrize(
    ("change", "complaint"),
    [
        ({"per_group_accuracy": 3}, "per_group_accuracy = 3, which is not a list"),
        ({"per_group_accuracy": [3]}, "an entry of the wrong type"),
        ({"per_group_accuracy": [PAIR, PAIR]}, "accuracy of one class and group twice"),
        ({"per_group_accuracy": [PAIR | {"accuracy": 1.5}]}, "accuracy = 1.5, which is not a share"),
        ({"per_group_accuracy": [PAIR | {"examples": 0}]}, "a group of 0 examples"),
        ({"per_group_accuracy": [PAIR | {"examples": True}]}, "examples = True, which is not a whole number"),
        ({"per_group_accuracy": [PAIR | {"group": 7}]}, "group = 7, which is not text"),
        ({"worst_group": [PAIR]}, "worst_group = a list, which is not an object"),
        ({"worst_group": {"class": "mammal"}}, "lacks examples"),
        ({"worst_group_accuracy": 2}, "worst_group_accuracy = 2, which is not a share"),
    ],
)
def test_groups_of_another_shape_are_refused(make_run, change, complaint):
    run = make_run()
    edit_summary(run, results=[{"domain": "noto", "role": "ood"} | change])
    with pytest.raises(ValueError, match=f"{complaint}.*; delete it, and the same training command"):
        read_run(run)


def test_further_numbers_controls_and_errors_of_a_result_are_kept(make_run):
    run = make_run()
    numbers = {"calibration_error": 0.03, "random_insertion_auc": 0.3, "accuracy_standard_error": 0.01, "loss": 3.5}
    edit_summary(run, results=[{"domain": "noto", "role": "ood", "split": "test"} | numbers])
    (result,) = read_run(run).results
    assert result.values == numbers


def test_a_share_may_be_above_one_by_a_rounding(make_run):
    run = make_run()
    for accuracy, fits in ((1.0000001, True), (1.001, False)):
        edit_summary(run, results=[{"domain": "noto", "role": "ood", "accuracy": accuracy}])
        if fits:
            assert read_run(run).results[0].values["accuracy"] == accuracy
        else:
            with pytest.raises(ValueError, match="not a share between 0 and 1"):
                read_run(run)


def test_a_run_of_the_first_version_is_read(make_run):
    """It wrote no data.json, and its summary had no protocol, no accuracy of the validation, none by class."""
    run = make_run()
    summary = json.loads((run / "summary.json").read_text())
    del summary["protocol"], summary["domain"]
    (run / "summary.json").write_text(json.dumps(summary))
    read = read_run(run)
    assert (read.protocol, read.domain, read.validation_accuracy, read.weights, read.examples) == (
        "",
        "",
        None,
        None,
        {},
    )
    data = read_data(run)
    assert (data.name, list(data.class_names)) == ("emoji_scenes", summary["class_names"])
    assert data.train_domains == ("noto", "twemoji")


def test_names_are_printed_in_one_line_and_kept_as_they_are_for_the_data(make_run):
    run = make_run()
    edit_summary(run, class_names=["a  b\u202e", "c"])
    assert read_run(run).class_names == ("a b�", "c")
    assert read_data(run).class_names == ("a  b\u202e", "c")


GAP = {"domain": "noto", "role": "id", "examples": 560, "gap": 0.4, "gap_standard_error": 0.03, "flips": 0.45}


def test_gaps_are_values_of_the_plain_test_and_may_be_absent(make_run):
    run = make_run()
    assert not any("gap" in result.values for result in read_run(run).results)
    edit_summary(run, background_gaps=[GAP | {"flips_standard_error": None}])
    (result,) = (result for result in read_run(run).results if "gap" in result.values)
    assert (result.domain, result.role) == ("noto", "id")
    assert {key: result.values[key] for key in ("gap", "gap_standard_error", "flips")} == {
        "gap": 0.4, "gap_standard_error": 0.03, "flips": 0.45
    }  # fmt: skip
    assert result.examples == 560
    assert "flips_standard_error" not in result.values


@pytest.mark.parametrize(
    ("gaps", "complaint"),
    [
        ([GAP | {"domain": "nowhere"}], r"a gap of nowhere \(id\), but not one such result"),
        ([GAP, GAP], r"a gap of noto \(id\), but not one such result"),
        ([GAP | {"flips": 1.5}], "flips = 1.5, which is not a share"),
        ([GAP | {"gap": "wide"}], "gap = 'wide', which is not a number"),
        ([3], "an entry of the wrong type"),
        ({}, "which is not a list"),
    ],
)
def test_a_broken_gap_is_refused(make_run, gaps, complaint):
    run = make_run()
    edit_summary(run, background_gaps=gaps)
    with pytest.raises(ValueError, match=complaint):
        read_run(run)
