"""Mistakes are drawn more often, and survive JSON."""

import json

import numpy as np
import pytest

from align_jax.data.domains import column
from align_jax.data.redraw import packed, redrawn, unpacked

SOURCES = {domain: [{"id": f"{domain}{index}"} for index in range(size)] for domain, size in (("a", 5), ("b", 9))}
MISTAKES = {"a": np.array([0, 1, 0, 0, 1], bool), "b": np.zeros(9, bool)}


def test_a_pass_has_every_mistake_several_times_and_the_others_once():
    drawn = redrawn(SOURCES, MISTAKES, 3)
    assert column(drawn["a"], "id") == ["a0", *["a1"] * 3, "a2", "a3", *["a4"] * 3]
    assert column(drawn["b"], "id") == column(SOURCES["b"], "id")


def test_they_survive_json():
    found = unpacked(json.loads(json.dumps(packed(MISTAKES))), SOURCES)
    assert all(np.array_equal(found[domain], MISTAKES[domain]) for domain in SOURCES)


@pytest.mark.parametrize(
    "text",
    [None, [], {"a": "QA=="}, {"a": "QA==", "b": 3}, {"a": "QA==", "b": "?"}, {"a": "QA==", "b": "QA=="},
     {"a": "QA==", "b": "AAAA"}, {"a": "QA==", "b": "AAAA", "c": "AAAA"}],
)  # fmt: skip
def test_what_is_not_of_these_images_is_refused(text):
    with pytest.raises(ValueError, match="redrawn images"):
        unpacked(text, SOURCES)
