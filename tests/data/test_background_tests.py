"""Tests in which the background decides, found in a user's own images: which are paired, and what they then say."""

import numpy as np
import pytest

from align_jax.data.background_tests import background_tests, own_groups, same_objects
from align_jax.data.domains import DomainData, EvaluationSplit, column
from align_jax.evaluation.background_gap import background_gaps
from align_jax.evaluation.gallery import background_examples

CLASSES = ("land bird", "water bird")
# Label and group: a frequent group that is nobody's own, and a rare one that is the second class's.
TRAIN = [(0, "land")] * 6 + [(0, "sky")] * 8 + [(1, "land")] * 1 + [(1, "sky")] * 8 + [(1, "water")] * 5
# Label, object and group of the test images.
TEST = [
    (0, "wren", "land"), (0, "wren", "water"), (0, "wren", "sky"),
    (1, "duck", "land"), (1, "duck", "water"), (1, "duck", "land"), (1, "duck", "water"), (1, "duck", "land"),
    (0, "crow", "land"), (0, "crow", "sky"),  # never on another class's background
    (1, "gull", "land"),  # never on its own
    (0, "", "land"), (0, "", "water"),  # of no object
]  # fmt: skip


def examples(rows):
    return [
        {"id": str(i), "label": label, "object": name, "group": group, "concept": name or str(i)}
        for i, (label, name, group) in enumerate(rows)
    ]


@pytest.fixture
def data():
    test = EvaluationSplit("north", "test", "ood", examples(TEST))
    train = {"south": examples([(label, "", group) for label, group in TRAIN])}
    return DomainData("birds", CLASSES, train, [test], has_masks=False)


def test_a_classs_own_group_is_the_one_that_it_has_more_often_than_others_have(data):
    assert own_groups(data.train) == {0: "land", 1: "water"}


def test_each_conflicting_image_stands_beside_an_aligned_one_of_its_object(data, capsys):
    tests = {test.role: test for test in background_tests(data)}
    assert [(role, test.domain, test.split) for role, test in tests.items()] == [
        ("ood_aligned", "north", "test_aligned"),
        ("ood_neutral", "north", "test_neutral"),
        ("ood_conflicting", "north", "test_conflicting"),
    ]
    shown = {
        role: dict(zip(*(column(test.source, f) for f in ("object", "id")), strict=True))
        for role, test in tests.items()
    }
    assert shown["ood_conflicting"] == {"0/wren/0": "1", "1/duck/0": "3", "1/duck/1": "5", "1/duck/2": "7"}
    assert shown["ood_aligned"] == {"0/wren/0": "0", "1/duck/0": "4", "1/duck/1": "4", "1/duck/2": "6"}
    assert shown["ood_neutral"] == {"0/wren/0": "2"}
    assert tests["ood_aligned"].source[1] == {
        "id": "4", "label": 1, "object": "1/duck/0", "group": "water", "concept": "duck"
    }  # fmt: skip
    assert "land bird on land, water bird on water." in (said := capsys.readouterr().err)
    assert "on its own: 4." in said


def test_the_gap_and_the_flips_are_those_of_the_pairs(data):
    predicted = {"0": 0, "1": 1, "4": 1, "6": 1, "3": 0, "5": 1, "7": 1}
    tested = []
    for test in background_tests(data):
        rows = [test.source[i] for i in range(len(test.source))]
        probabilities = np.eye(2)[[predicted.get(row["id"], 0) for row in rows]]
        tested.append(
            (test, {name: np.array([row[name] for row in rows]) for name in rows[0]} | {"probabilities": probabilities})
        )
    (gap,) = background_gaps(tested)
    assert (gap["domain"], gap["role"], gap["examples"]) == ("north", "ood", 4)
    assert (gap["gap"], gap["flips"]) == (0.5, 0.5)


def test_one_set_of_images_is_shown(data):
    tests = background_tests(data)
    shown = background_examples(DomainData("birds", CLASSES, {}, [*data.evaluation, *tests], has_masks=False))
    assert {split.role: split.source[int(number)]["id"] for split, (number,) in shown} == {
        "ood_aligned": "0", "ood_neutral": "2", "ood_conflicting": "1"
    }  # fmt: skip
    # Without neutral ones too.
    shown = background_examples(DomainData("birds", CLASSES, {}, [tests[0], tests[2]], has_masks=False))
    assert [split.role for split, _ in shown] == ["ood_aligned", "ood_conflicting"]


def test_data_without_pairs_have_no_such_tests(data):
    data.evaluation[0] = EvaluationSplit("north", "test", "ood", examples(TEST[8:]))
    assert background_tests(data) == []


def test_images_of_one_object_and_class_are_found():
    rows = [(0, "wren", "a"), (1, "wren", "a"), (0, "", "a"), (0, "wren", "b"), (0, "", "b")]
    assert same_objects(examples(rows)) == [[0, 3]]
