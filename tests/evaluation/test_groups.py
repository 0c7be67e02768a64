"""Accuracy by class and environment, and the worst of them."""

import numpy as np
import pytest

from align_jax.evaluation import scores
from align_jax.evaluation.groups import FEWEST_EXAMPLES, GroupAccuracy, group_accuracies, worst_group

NAMES = ("land bird", "water bird")


def examples(*groups):
    """Predictions of `(label, group, examples, how many are right)`, in another order than the groups'."""
    label, group, right = [], [], []
    for of_label, name, count, hits in groups:
        label += [of_label] * count
        group += [name] * count
        right += [True] * hits + [False] * (count - hits)
    order = np.random.default_rng(0).permutation(len(label))
    label, right = np.array(label)[order], np.array(right)[order]
    probabilities = np.where((np.arange(2) == label[:, None]) == right[:, None], 0.9, 0.1)
    return {"probabilities": probabilities, "label": label, "group": np.array(group)[order]}


WATERBIRDS = ((0, "land", 40, 38), (0, "water", 10, 4), (1, "land", 9, 0), (1, "water", 30, 15))


def test_each_pair_of_class_and_group_has_its_accuracy():
    found = group_accuracies(**examples(*WATERBIRDS))
    assert found == [GroupAccuracy(label, name, n, pytest.approx(hits / n)) for label, name, n, hits in WATERBIRDS]


def test_the_worst_group_is_not_one_of_a_few_examples():
    """None of the nine water birds on land is right: too few to be judged by."""
    assert FEWEST_EXAMPLES == 10
    found = group_accuracies(**examples(*WATERBIRDS))
    worst, left_out = worst_group(found)
    assert worst == found[1]
    assert left_out == 1
    assert worst_group(found[2:3]) == (None, 1)


def test_a_domains_metrics_have_the_worst_group_if_its_examples_have_groups():
    of_domain = examples(*WATERBIRDS)
    metrics = scores.summarise(of_domain)
    assert (metrics["worst_group_accuracy"], metrics["groups_left_out"]) == (pytest.approx(0.4), 1)
    about = scores.by_group(of_domain, NAMES)
    assert about["worst_group"] == {"class": "land bird", "group": "water", "examples": 10}
    assert about["per_group_accuracy"][3] == {"class": "water bird", "group": "water", "examples": 30, "accuracy": 0.5}
    few = scores.by_group(examples((0, "land", 9, 3)), NAMES)
    assert few.keys() == {"per_group_accuracy"}
    del of_domain["group"]
    assert scores.by_group(of_domain, NAMES) == {}
    assert not scores.summarise(of_domain).keys() & {"worst_group_accuracy", "groups_left_out"}


def test_of_too_many_groups_the_worse_ones_are_listed_in_order(monkeypatch):
    monkeypatch.setattr(scores, "MOST_GROUPS", 2)
    rows = scores.by_group(examples((0, "a", 4, 4), (0, "b", 4, 1), (1, "a", 4, 2), (1, "b", 4, 0)), NAMES)
    assert [(row["class"], row["group"]) for row in rows["per_group_accuracy"]] == [
        ("land bird", "b"), ("water bird", "b")
    ]  # fmt: skip
