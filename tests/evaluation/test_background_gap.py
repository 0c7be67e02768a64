"""The gap and the flips, and that they compare each object with itself."""

import numpy as np
import pytest

from align_jax.data.domains import EvaluationSplit
from align_jax.evaluation.background_gap import background_gap, background_gaps, by_object
from align_jax.evaluation.bootstrap import paired_difference

LABEL = np.array([0, 0, 1, 1, 2, 2])
CONCEPT = np.array(["a", "a", "b", "b", "c", "c"])
ALIGNED = np.array([0, 0, 1, 1, 2, 0])  # 5 of 6 right
CONFLICTING = np.array([0, 1, 1, 2, 0, 1])  # 2 of 6 right; the last is wrong in another way


def test_gap_and_flips_are_those_of_their_definitions():
    measured = background_gap(ALIGNED, CONFLICTING, LABEL, CONCEPT)
    assert measured.examples == 6
    assert measured.gap == pytest.approx(5 / 6 - 2 / 6)
    assert measured.flips == pytest.approx(4 / 6)
    right = [(predicted == LABEL).astype(float) for predicted in (ALIGNED, CONFLICTING)]
    assert measured.gap_standard_error == pytest.approx(paired_difference(*right, CONCEPT).standard_error)


def test_errors_are_those_of_concepts():
    """Images that flip together with their concept hold as much evidence as one of them."""
    flips = np.random.default_rng(0).random(60) < 0.4
    label, once, concept = np.zeros(60, int), flips.astype(int), np.arange(60)
    single = background_gap(label, once, label, concept)
    tenfold = background_gap(*(np.repeat(values, 10) for values in (label, once, label, concept)))
    assert tenfold.flips_standard_error == pytest.approx(single.flips_standard_error)
    assert tenfold.gap_standard_error == pytest.approx(single.gap_standard_error)
    assert single.flips_standard_error == pytest.approx(np.sqrt(flips.mean() * (1 - flips.mean()) / 60), rel=0.06)


def scored(predicted, order=None):
    """The scores of a split whose examples lie in an order of its own."""
    order = np.arange(6) if order is None else np.array(order)
    objects = np.array([f"object{number}" for number in range(6)])
    probabilities = 0.8 * np.eye(3)[predicted] + 0.1
    fields = {"probabilities": probabilities, "label": LABEL, "concept": CONCEPT, "object": objects}
    return {name: values[order] for name, values in fields.items()}


def split_of(role, domain, examples):
    return EvaluationSplit(domain, f"test_{role}", role, []), examples


def test_objects_are_paired_whatever_their_order():
    shuffled = scored(CONFLICTING, order=[3, 1, 5, 0, 4, 2])
    (gap,) = background_gaps([split_of("aligned", "x", scored(ALIGNED)), split_of("conflicting", "x", shuffled)])
    assert gap == {"domain": "x", "role": "id"} | background_gap(ALIGNED, CONFLICTING, LABEL, CONCEPT)._asdict()


def test_a_gap_of_every_domain_that_has_both_tests():
    aligned, conflicting = scored(ALIGNED), scored(CONFLICTING)
    gaps = background_gaps(
        [
            split_of("id", "x", aligned),
            split_of("ood_conflicting", "z", conflicting), split_of("ood_aligned", "z", conflicting),
            split_of("aligned", "x", aligned), split_of("neutral", "x", aligned),
            split_of("conflicting", "x", conflicting),
            split_of("aligned", "y", aligned),
        ]
    )  # fmt: skip
    assert [(gap["domain"], gap["role"], gap["flips"] > 0) for gap in gaps] == [("x", "id", True), ("z", "ood", False)]
    unnamed = {name: values for name, values in aligned.items() if name != "object"}
    assert background_gaps([split_of("aligned", "x", unnamed), split_of("conflicting", "x", unnamed)]) == []


def test_without_concepts_each_object_stands_for_itself():
    splits = [scored(ALIGNED), scored(CONFLICTING)]
    for examples in splits:
        del examples["concept"]
    (gap,) = background_gaps([split_of("aligned", "x", splits[0]), split_of("conflicting", "x", splits[1])])
    assert (
        gap["flips_standard_error"]
        == background_gap(ALIGNED, CONFLICTING, LABEL, splits[0]["object"]).flips_standard_error
    )


def test_other_objects_cannot_be_paired():
    objects = np.array(["a", "b", "c"])
    for others in (np.array(["a", "b", "d"]), objects[:2]):
        with pytest.raises(ValueError, match="the same objects"):
            by_object(objects, others)
    with pytest.raises(ValueError, match="each once"):
        by_object(np.array(["a", "b", "b"]), np.array(["b", "a", "b"]))
