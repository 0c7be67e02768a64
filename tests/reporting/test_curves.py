import json
import re

import numpy as np
import pytest

from align_jax.reporting import curves
from align_jax.runs.read_metrics import read_metrics


def test_every_key_of_the_metrics_has_a_panel(make_run):
    run = read_metrics(make_run())
    sections = curves.training_sections({"ALIGN": run})
    keys = {key for line in run.training for key in line.values if not key.startswith("seconds/")}
    assert sum(len(section.panels) for section in sections) == len(keys)
    assert [section.title for section in sections] == ["Classifier, training", "Masker, training", "Speed and schedule"]
    accuracy = curves.evaluation_section(run).panels[0]
    assert [line.name for line in accuracy.series] == [
        "Validation",
        "In distribution",
        "Background shift",
        "Out of distribution",
    ]


def test_a_role_is_the_mean_of_its_domains(make_run):
    run = read_metrics(make_run())
    lines = [x for x in run.evaluations if x.step == 600 and x.role == "id"]
    expected = np.mean([line.values["accuracy"] for line in lines])
    series = curves.evaluation_section(run).panels[0].series[1]
    assert len(lines) == 2
    assert series.values[-1] == pytest.approx(expected)


def test_methods_are_overlaid_and_a_method_without_a_key_is_not_drawn(make_run):
    runs = {"ALIGN": read_metrics(make_run("align")), "ERM": read_metrics(make_run("erm"))}
    by_title = {
        panel.title: [line.name for line in panel.series]
        for section in curves.training_sections(runs)
        for panel in section.panels
    }
    assert by_title["Cross-entropy"] == ["ALIGN", "ERM"]
    assert by_title["Alignment with the mask"] == ["ALIGN"]
    accuracy = curves.compared_evaluation_sections(runs)[0]
    assert [[line.name for line in panel.series] for panel in accuracy.panels] == [["ALIGN", "ERM"]] * 4


def test_warmup_ends_where_the_rounds_begin(make_run):
    run = make_run()
    assert curves.warmup_end(read_metrics(run)) == 240
    only_warmup = [line for line in (run / "metrics.jsonl").read_text().splitlines() if '"rounds"' not in line]
    (run / "metrics.jsonl").write_text("\n".join(only_warmup))
    assert curves.warmup_end(read_metrics(run)) is None


def test_non_finite_values_leave_a_gap_and_do_not_stop_the_page(make_run):
    run = make_run()
    with (run / "metrics.jsonl").open("a") as metrics:
        metrics.write(
            json.dumps({"step": 620, "split": "train", "classifier/loss": float("nan"), "only": float("inf")})
        )
    sections = curves.training_sections({"": read_metrics(run)})
    loss = next(panel for section in sections for panel in section.panels if panel.title == "Total loss")
    assert np.isnan(loss.series[0].values[-1])
    assert loss.series[0].last != "nan"
    assert "nan" not in loss.svg
    # A key that never had a finite value has nothing to draw.
    assert "Only" not in {panel.title for section in sections for panel in section.panels}


def test_drawings_follow_the_page_and_carry_no_text_of_the_run(make_run):
    run = make_run()
    with (run / "metrics.jsonl").open("a") as metrics:
        for step in (620, 640):
            metrics.write(json.dumps({"step": step, "split": "train", "<script>$\\frac": 1.0}) + "\n")
    panels = [panel for section in curves.training_sections({"": read_metrics(run)}) for panel in section.panels]
    hostile = next(panel for panel in panels if "script" in panel.title)
    assert "script" not in hostile.svg
    for panel in panels:
        assert "var(--series-0)" in panel.svg
        assert not re.search("#fe00", panel.svg)
    ids = [name for panel in panels for name in re.findall(r'\bid="([^"]*)"', panel.svg)]
    assert len(ids) == len(set(ids))


def test_the_largest_numbers_are_drawn(make_run):
    run = make_run()
    lines = [{"step": 2**62, "split": "validation", "role": 1e308, "huge": sign * 1.79e308} for sign in (1, -1)]
    lines += [
        {"step": 620 + n, "split": "train", "huge/train": 3e38 * (-1) ** n, "vast/train": 1e308} for n in range(2)
    ]
    (run / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
    metrics = read_metrics(run)
    titles = [panel.title for panel in curves.evaluation_section(metrics).panels]
    assert titles == ["Huge"], "the role of a line is not one of its numbers"
    assert [len(section.panels) for section in curves.training_sections({"": metrics})] == [1, 1]


def test_thinning_keeps_means_and_shows_divergence():
    steps = np.arange(1003.0)
    thin_steps, thin_values = curves.thinned(steps, 2 * steps, at_most=100)
    assert len(thin_steps) <= 100
    np.testing.assert_allclose(thin_values, 2 * thin_steps)
    assert thin_steps[0] == np.arange(11).mean()
    values = np.ones(1003)
    values[500] = np.nan
    assert np.isnan(curves.thinned(steps, values, at_most=100)[1]).sum() == 1
    same, _ = curves.thinned(steps, values, at_most=2000)
    np.testing.assert_array_equal(same, steps)
