import dataclasses
import json
import pathlib

import pytest

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY, FAITHFULNESS, PREDICTION, further_metrics
from align_jax.reporting.compared import named_methods, reference_method
from align_jax.reporting.result_tables import comparison_table, results_table, role_mean
from align_jax.runs.read import read_run
from align_jax.runs.untrusted_json import Fields


@pytest.fixture
def change(make_run):
    """Makes a run whose result rows went through a function."""

    def make(algorithm, alter):
        run = make_run(algorithm)
        summary = json.loads((run / "summary.json").read_text())
        summary["results"] = [row for row in map(alter, summary["results"]) if row is not None]
        (run / "summary.json").write_text(json.dumps(summary))
        return run

    return make


def with_accuracy(value):
    return lambda row: row | {"accuracy": value[row["role"], row["domain"]]} if row["split"] != "validation" else None


ALIGN = {
    ("id", "noto"): 0.80,
    ("id", "twemoji"): 0.70,
    ("background_shift", "noto"): 0.60,
    ("background_shift", "twemoji"): 0.61,
    ("ood", "fluent3d"): 0.5004,
}
ERM = ALIGN | {("id", "noto"): 0.76, ("background_shift", "noto"): 0.633, ("ood", "fluent3d"): 0.50}


def compared(change):
    runs = {
        "ALIGN": read_run(change("align", with_accuracy(ALIGN))),
        "ERM": read_run(change("erm", with_accuracy(ERM))),
    }
    return results_table(runs, [ACCURACY], reference_method(runs))


def test_differences_are_to_erm_and_in_points(change):
    table = compared(change)
    cells = {(group.title, *row.names): row.cells[0] for group in table.groups for row in group.rows}
    assert cells["In distribution", "noto", "ALIGN"].difference == "+4.0"
    assert cells["In distribution", "twemoji", "ALIGN"].difference == "±0.0"
    assert cells["In distribution", "Mean of 2", "ALIGN"].difference == "+2.0"
    assert cells["In distribution", "Mean of 2", "ALIGN"].value == "75.0"
    assert cells["Background shift", "noto", "ALIGN"].difference == "−3.3"
    # 0.04 points are no difference at the precision of the column.
    assert cells["Out of distribution", "fluent3d", "ALIGN"].difference == "±0.0"
    erm = [row for row in table.rows if row.names[1] == "ERM"]
    assert len(erm) == 7
    assert all(row.cells[0].difference == "" for row in erm)


def test_the_best_of_a_domain_is_marked_and_ties_are_not(change):
    table = compared(change)
    best = {(group.title, i): row.cells[0].best for group in table.groups for i, row in enumerate(group.rows)}
    assert [best["In distribution", i] for i in range(6)] == [True, False, False, False, True, False]
    assert [best["Background shift", i] for i in range(6)] == [False, True, False, False, False, True]
    assert not best["Out of distribution", 0]
    assert not best["Out of distribution", 1]


def test_lower_sufficiency_is_better(make_run):
    runs = {name: read_run(make_run(name, better)) for name, better in (("align", 0.02), ("erm", 0.0))}
    table = results_table(runs, FAITHFULNESS, "erm")
    sufficiency = [column.title for column in table.columns].index("Sufficiency")
    align, erm = table.groups[0].rows[:2]
    assert (align.cells[sufficiency].value, erm.cells[sufficiency].value) == ("0.290", "0.310")
    assert align.cells[sufficiency].best
    assert not erm.cells[sufficiency].best
    assert align.cells[sufficiency].difference == "−0.020"
    assert align.cells[sufficiency].control == "0.440"


@pytest.mark.parametrize(("key", "value"), [("comprehensiveness", 0.04), ("sufficiency", 0.5)])
def test_a_grad_cam_that_random_noise_beats_is_flagged(change, key, value):
    run = read_run(change("align", lambda row: row | {key: value} if row["domain"] == "fluent3d" else row))
    table = results_table({"ALIGN": run}, [metric for metric in FAITHFULNESS if metric.key == key])
    flagged = {row.names for row in table.rows if row.cells[0].beaten_by_control}
    assert flagged == {("fluent3d",)}


def test_a_mean_over_a_missing_value_is_missing(change):
    def drop(row):
        if row["role"] == "id" and row["domain"] == "noto":
            del row["auc"]
        return row

    run = read_run(change("align", drop))
    assert role_mean(run.results, "id", "auc") is None
    assert role_mean(run.results, "background_shift", "auc") is not None
    group = results_table({"ALIGN": run}, PREDICTION).groups[1]
    assert [row.cells[1].value for row in group.rows] == ["–", "88.0", "–"]


def test_null_and_nan_are_dashes_and_zero_is_a_number():
    content = {"null": None, "nan": float("nan"), "infinite": float("inf"), "zero": 0}
    fields = Fields(content, pathlib.Path("summary.json"))
    assert [fields.number(key) for key in content] == [None, None, None, 0.0]
    assert ACCURACY.text(None) == "–"
    assert ACCURACY.text(0.0) == "0.0"
    assert ACCURACY.difference(0.5, None) == ""


def test_unknown_numbers_become_columns(change):
    run = read_run(change("align", lambda row: row | {"calibration_error": 0.031}))
    assert [metric.key for metric in further_metrics(run.results)] == ["calibration_error"]
    table = results_table({"ALIGN": run}, further_metrics(run.results))
    assert table.columns[0].title == "Calibration error"
    assert table.groups[0].rows[0].cells[0].value == "0.031"


def test_terminal_table(make_run):
    text = comparison_table([make_run("align", 0.02), make_run("erm", 0.0)])
    head, rule, align, erm, *_ = text.splitlines()
    assert head.split("  ")[-1] == "CAM energy"
    assert len(head) == len(rule) == len(align) == len(erm)
    assert align.split() == ["ALIGN", "71.0", "67.0", "64.0", "±", "1.9", "0.460", "0.490"]
    assert erm.split() == ["ERM", "69.0", "65.0", "62.0", "±", "1.9", "–", "0.450"]


def test_names_tell_runs_of_one_method_apart(make_run, tmp_path):
    run, other = read_run(make_run("align")), read_run(make_run("erm"))
    assert named_methods([run, other]) == {"ALIGN": run, "ERM": other}
    again, placed = dataclasses.replace(run, seed=run.seed + 1), dataclasses.replace(run, path=tmp_path)
    assert list(named_methods([run, again])) == [f"ALIGN, seed {run.seed}", f"ALIGN, seed {again.seed}"]
    assert len(named_methods([run, placed])) == 2
    assert names.method_name(run.algorithm, "true") == "ALIGN, true masks"
