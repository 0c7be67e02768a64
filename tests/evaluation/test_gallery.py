"""The gallery shows every role, takes the classes in turn, and is the same for every run."""

import numpy as np

from align_jax.evaluation.gallery import gallery_examples
from tests.tiny_config import get_config, load_squares


def labels_and_roles(count):
    chosen = gallery_examples(load_squares(get_config().data), count)
    return [(int(split.source[i]["label"]), split.role) for split, indices in chosen for i in indices]


def test_roles_and_classes_take_turns():
    shown = labels_and_roles(12)
    assert len(shown) == 12
    assert [role for _, role in shown].count("ood") == 6  # this data set has no background shift
    np.testing.assert_array_equal(np.bincount([label for label, _ in shown]), [4, 4, 4])


def test_no_example_is_shown_twice_and_the_choice_does_not_change():
    chosen = gallery_examples(load_squares(get_config().data), 12)
    for _, indices in chosen:
        assert len(set(indices.tolist())) == len(indices)
    again = gallery_examples(load_squares(get_config().data), 12)
    for (first, a), (second, b) in zip(chosen, again, strict=True):
        assert (first.domain, first.split) == (second.domain, second.split)
        np.testing.assert_array_equal(a, b)
