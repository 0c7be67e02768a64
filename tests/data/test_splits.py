"""Splits are disjoint, complete, seeded and the same on every machine."""

import numpy as np
import pytest

from align_jax.data.splits import seeded_split, seeded_subset


def test_parts_are_disjoint_and_complete():
    parts = seeded_split(103, [0.64, 0.16], seed=1)
    np.testing.assert_array_equal(np.sort(np.concatenate(parts)), np.arange(103))
    assert [len(part) for part in parts] == [66, 16, 21]


def test_the_seed_decides():
    np.testing.assert_array_equal(seeded_split(50, [0.8], seed=3)[0], seeded_split(50, [0.8], seed=3)[0])
    assert not np.array_equal(seeded_split(50, [0.8], seed=3)[0], seeded_split(50, [0.8], seed=4)[0])


def test_the_same_on_every_machine():
    assert seeded_split(12, [0.25], seed=0)[0].tolist() == [2, 7, 9]


@pytest.mark.parametrize("fractions", [[0.7, 0.4], [-0.1]])
def test_impossible_fractions_are_refused(fractions):
    with pytest.raises(ValueError, match="add up to at most 1"):
        seeded_split(10, fractions, seed=0)


def test_subset_has_the_size_asked_for():
    assert len(seeded_subset(100, 30, seed=0)) == 30
    np.testing.assert_array_equal(seeded_subset(20, 30, seed=0), np.arange(20))
