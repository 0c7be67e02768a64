import dataclasses

import numpy as np
import pytest

from align_jax.evaluation.bootstrap import FEWEST_CLUSTERS
from align_jax.reporting.columns import explanation_metric
from align_jax.reporting.explanations_page.value_tables import difference_cell, random_table, run_table, value_table
from tests.reporting.explanations_page.made_up import HIGHER_IS_BETTER, explanations

RUN = explanations(2, 30)
METRICS = [explanation_metric(key, better) for key, better in HIGHER_IS_BETTER.items()]
ALONE = np.arange(30)


def cell_of(table, method, metric, run=None):
    names = (method,) if run is None else (method, run)
    (row,) = (row for row in table.rows if row.names == names)
    return row.cells[list(HIGHER_IS_BETTER).index(metric)]


def test_means_have_intervals_and_undefined_values_are_counted():
    table = value_table({"run": RUN}, METRICS, 200)
    cell = cell_of(table, "Grad-CAM", "comprehensiveness")
    values = RUN.values["Grad-CAM"]["comprehensiveness"]
    low, high = map(float, cell.interval.split(", "))
    assert cell.value == f"{values.mean():.3f}"
    assert low < values.mean() < high
    assert high - low == pytest.approx(2 * 1.96 * values.std() / 30**0.5, rel=0.35)
    undefined = cell_of(table, "random", "pointing_game")
    assert undefined.note == "6 undefined"
    assert undefined.value == f"{np.nanmean(RUN.values['random']['pointing_game']):.3f}"
    assert cell.note == ""


def test_a_metric_that_is_undefined_everywhere_has_no_value():
    values = {method: dict(of) for method, of in RUN.values.items()}
    values["Grad-CAM"]["sufficiency"] = np.full(30, np.nan)
    del values["HiResCAM"]["sufficiency"]
    run = dataclasses.replace(RUN, values=values)
    table = value_table({"run": run}, METRICS, 20)
    cell = cell_of(table, "Grad-CAM", "sufficiency")
    assert (cell.value, cell.interval, cell.note) == ("–", "", "30 undefined")
    assert cell_of(table, "HiResCAM", "sufficiency").value == "–"
    cell = cell_of(random_table({"run": run}, METRICS, 20), "Grad-CAM", "sufficiency")
    assert (cell.value, cell.note) == ("–", "30 undefined")


def test_controls_stand_apart():
    methods, controls = value_table({"run": RUN}, METRICS, 20).groups
    assert [row.names for row in methods.rows] == [("Grad-CAM",), ("HiResCAM",)]
    assert [row.names for row in controls.rows] == [("random",), ("centre",), ("edges",)]
    table = random_table({"run": RUN}, METRICS, 20)
    assert ("random",) not in [row.names for row in table.rows]
    assert random_table({"run": dataclasses.replace(RUN, random=None)}, METRICS, 20) is None


def test_differences_are_paired():
    """What makes an image hard for both maps cancels, so the difference is known better than either mean."""
    table = random_table({"run": RUN}, METRICS, 200)
    difference = cell_of(table, "Grad-CAM", "sufficiency")
    own, random = (RUN.values[method]["sufficiency"] for method in ("Grad-CAM", "random"))
    assert difference.value == f"{(own - random).mean():+.3f}".replace("-", "−")
    assert (difference.note, difference.best) == ("better", True)
    low, high = (float(end.replace("−", "-")) for end in difference.interval.split(", "))
    assert high - low < 0.5 * 2 * 1.96 * own.std() / 30**0.5


@pytest.mark.parametrize(
    ("shift", "higher", "verdict"),
    [(0.3, True, "better"), (-0.3, True, "worse"), (0.3, False, "worse"), (-0.3, False, "better"), (0.3, None, "")],
)
def test_better_is_said_where_the_interval_leaves_out_zero(shift, higher, verdict):
    noise = np.random.default_rng(0).normal(size=30) * 0.5
    noise -= noise.mean()
    metric = explanation_metric("of_ours", higher)
    cell = difference_cell(metric, noise + shift, np.zeros(30), ALONE, 500)
    assert cell.note == verdict
    # Of the same noise a smaller shift says nothing.
    assert difference_cell(metric, noise + shift / 10, np.zeros(30), ALONE, 500).note == ""


@pytest.mark.parametrize(("size", "digits"), [(1e-1, 3), (1e-3, 4), (1e-5, 6)])
@pytest.mark.parametrize("sign", [1, -1])
def test_with_a_verdict_no_end_is_printed_as_0(size, digits, sign):
    """The low end is about two fifths of the size: with three digits, that of 1e-3 would be 0.000."""
    noise = np.random.default_rng(0).normal(size=30)
    noise = (noise - noise.mean()) / noise.std()
    reference = np.full(30, 0.25)
    cell = difference_cell(METRICS[0], reference + sign * size * (1 + 1.65 * noise), reference, ALONE, 2000)
    assert cell.note == ("better" if sign > 0 else "worse")
    ends = cell.interval.split(", ")
    assert all(float(end.replace("−", "-")) * sign > 0 for end in ends), cell.interval
    assert {len(text.partition(".")[2]) for text in (cell.value, *ends)} == {digits}


def test_an_end_within_the_rounding_of_float32_is_0():
    reference = np.linspace(0.2, 0.8, 30)
    cell = difference_cell(METRICS[0], reference + 2e-8, reference, ALONE, 200)
    assert (cell.value, cell.interval, cell.note) == ("±0.000", "0.000, 0.000", "")
    # Of small values, a small difference is none of rounding.
    cell = difference_cell(METRICS[0], 1e-6 * reference + 2e-8, 1e-6 * reference, ALONE, 200)
    assert (cell.value, cell.interval, cell.note) == ("+0.00000002", "+0.00000002, +0.00000002", "better")


@pytest.mark.parametrize("clusters", [1, FEWEST_CLUSTERS - 1])
def test_a_few_clusters_have_no_interval_and_no_verdict(clusters):
    """On as few images any difference could be chance."""
    cell = difference_cell(METRICS[0], np.ones(30), np.zeros(30), np.arange(30) % clusters, 20)
    assert (cell.value, cell.interval, cell.note) == ("+1.000", "", "")


def test_runs_are_compared_with_the_first():
    better = explanations(2, 30, seed=1)
    values = {m: {k: v + 0.1 for k, v in of.items()} for m, of in RUN.values.items()}
    runs = {"erm": RUN, "align": dataclasses.replace(better, values=values)}
    table = run_table(runs, METRICS, 50)
    assert {row.names for row in table.rows} == {(method,) for method in RUN.methods}
    assert cell_of(table, "HiResCAM", "insertion_auc").value == "+0.100"
    assert cell_of(table, "HiResCAM", "insertion_auc").note == "better"
    assert cell_of(table, "HiResCAM", "sufficiency").note == "worse"
    assert run_table({"erm": RUN}, METRICS, 50) is None
    assert cell_of(value_table(runs, METRICS, 20), "centre", "sufficiency", "align").value
