"""Numbers that others printed agree with each other, and with what the data sets' own files say."""

import math

import pytest

from align_jax.data.load import find_dataset
from align_jax.reporting.many_runs.published import PUBLISHED


@pytest.mark.parametrize("row", [row for row in PUBLISHED if row.average and row.values])
def test_a_printed_average_is_that_of_the_columns(row):
    columns = [float(value) for value in row.values.values()]
    assert set(row.values) == set(find_dataset(row.dataset).published_examples)
    assert abs(math.fsum(columns) / len(columns) - float(row.average)) <= 0.06


@pytest.mark.parametrize("row", PUBLISHED)
def test_a_number_is_of_a_domain_that_there_is_and_in_its_unit(row):
    assert row.values or row.average
    assert set(row.values) <= set(find_dataset(row.dataset).published_examples)
    for text in filter(None, (*row.values.values(), row.average)):
        assert 20 < float(text) < 100 if row.metric in ("accuracy", "auc") else 0 < float(text) < 1


def test_no_row_is_there_twice():
    rows = [(row.method, row.dataset, row.protocol, row.metric, row.source) for row in PUBLISHED]
    assert len(set(rows)) == len(rows)


@pytest.mark.parametrize(("metric", "printed"), [("accuracy", "85.61"), ("auc", "77.41")])
def test_dre_is_align_without_guidance(metric, printed):
    """ALIGN's paper prints DRE twice: among the baselines, and as the ablation without explanation guidance."""
    asked = ("DRE", "vlcs", "in_domain", metric)
    (row,) = [row for row in PUBLISHED if (row.method, row.dataset, row.protocol, row.metric) == asked]
    assert row.values["VOC2007"] == printed


def test_the_data_sets_know_their_published_numbers_of_images():
    totals = {name: sum(find_dataset(name).published_examples.values()) for name in ("vlcs", "terra_incognita")}
    assert totals == {"vlcs": 10_729, "terra_incognita": 24_788}
    assert {row.classes for row in PUBLISHED if row.dataset == "vlcs"} == {5}
    assert {row.classes for row in PUBLISHED if row.dataset == "terra_incognita"} == {10}
