"""Means over seeds: what they are, which are the best, how they are printed."""

import math

import pytest

from align_jax.reporting.columns import ACCURACY, CAM_ENERGY, SUFFICIENCY, Metric
from align_jax.reporting.many_runs.over_seeds import SeedMean, average, marked, over_seeds, printed


def test_it_is_the_mean_and_the_standard_error_over_seeds():
    cell = over_seeds({0: 0.80, 1: 0.82, 2: 0.87})
    # mean 0.83; deviations -0.03, -0.01, 0.04; variance 0.0026 / 2; divided by 3.
    assert math.isclose(cell.value, 0.83)
    assert math.isclose(cell.error, math.sqrt(0.0013 / 3))
    assert (cell.seeds, cell.planned) == (3, 0)
    assert over_seeds({0: 0.8}, planned=3) == SeedMean(0.8, None, 1, 3)
    assert over_seeds({}, planned=3) == SeedMean(None, None, 0, 3)


def test_what_is_not_finite_is_left_out_and_counted():
    assert over_seeds({0: 0.5, 1: math.nan, 2: 0.5}) == SeedMean(0.5, 0.0, 2, 3)
    assert over_seeds({0: math.inf}) == SeedMean(None, None, 0, 1)
    assert average([{0: 0.5, 1: 0.5}, {0: 0.5, 1: math.nan}]) == SeedMean(0.5)
    assert average([{0: 0.5}, {0: math.nan}]).value is None


def test_an_average_is_over_the_seeds_averages_and_needs_every_part():
    cell = average([{0: 0.1, 1: 0.5}, {0: 0.5, 1: 0.1}])
    # Each seed's average is 0.3: what one domain loses the other gains.
    assert (round(cell.value, 9), round(cell.error, 9), cell.seeds) == (0.3, 0.0, 2)
    assert average([{0: 0.1}, {}]).value is None
    uneven = average([{0: 0.1, 1: 0.3}, {0: 0.6}])
    assert (round(uneven.value, 9), uneven.error, uneven.seeds) == (0.4, None, 0)


@pytest.mark.parametrize(
    ("metric", "cells", "best"),
    [
        # 2 points apart, errors 1 and 1: within sqrt(2)? No.
        (ACCURACY, [(0.80, 0.01), (0.82, 0.01)], [False, True]),
        # 1.2 points apart: within it, but the third is not.
        (ACCURACY, [(0.80, 0.01), (0.812, 0.01), (0.70, 0.01)], [True, True, False]),
        # Every row would be marked: none stands out.
        (ACCURACY, [(0.80, 0.01), (0.812, 0.01)], [False, False]),
        # Printed alike, so alike.
        (ACCURACY, [(0.80001, 0.0), (0.80002, 0.0), (0.5, 0.0)], [True, True, False]),
        (SUFFICIENCY, [(0.3, 0.01), (0.1, 0.01)], [False, True]),
        # How much chance there is in a single seed is not known: the best is bold, and nothing is near it.
        (ACCURACY, [(0.80, None), (0.99, None), (0.989, None)], [False, True, False]),
        (SUFFICIENCY, [(0.3, None), (0.1, None)], [False, True]),
        (ACCURACY, [(0.80001, None), (0.80002, None), (0.5, None)], [True, True, False]),
        (ACCURACY, [(0.5, None), (0.5, None)], [False, False]),
        (ACCURACY, [(0.80, 0.01), (0.804, None)], [False, True]),
        (ACCURACY, [(0.80, 0.01), (0.804, 0.01), (0.803, None)], [True, True, False]),
        # Exactly one error apart, though 0.30000000000000004 - 0.2 > 0.1: every row would be marked.
        (ACCURACY, [(0.1 + 0.2, 0.1), (0.2, 0.0)], [False, False]),
        (ACCURACY, [(0.1 + 0.2, 0.1), (0.2, 0.0), (0.1, 0.0)], [True, True, False]),
        (ACCURACY, [(0.3 + 1e-6, 0.1), (0.2, 0.0)], [True, False]),
        (ACCURACY, [(0.80, 0.01)], [False]),
        (ACCURACY, [(0.80, 0.01), (None, None), (0.9, 0.01)], [False, False, True]),
        (Metric("x", "X"), [(0.1, 0.0), (0.9, 0.0)], [False, False]),
    ],
)
def test_what_is_marked_as_best(metric, cells, best):
    assert [cell.best for cell in marked(metric, [SeedMean(value, error, 2) for value, error in cells])] == best


def test_means_are_printed_in_the_metrics_unit():
    accuracy = printed(ACCURACY, SeedMean(0.8123, 0.0049, 3, best=True), usual_seeds=3)
    assert (accuracy.value, accuracy.error, accuracy.note, accuracy.best) == ("81.2", "0.5", "", True)
    assert printed(ACCURACY, SeedMean(0.8123, 0.0049, 2), usual_seeds=3).note == "n = 2"
    assert printed(ACCURACY, SeedMean(None, None, 0, planned=3)).value == "–"
    assert printed(ACCURACY, SeedMean(0.5, None, 1, planned=3)).note == "1/3"
    assert printed(ACCURACY, SeedMean(blank=True)).value == ""
    assert printed(CAM_ENERGY, SeedMean(0.5)).value == "0.500"
