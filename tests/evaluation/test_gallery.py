"""The gallery shows every role, takes the classes in turn, and is the same for every run."""

import numpy as np

from align_jax.data.domains import BACKGROUND_ROLES, DomainData, EvaluationSplit
from align_jax.evaluation.gallery import background_examples, gallery_examples
from tests.tiny_config import CLASSES, Squares, get_config, load_squares


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


def on_backgrounds(role, domain, seed, names_objects=True):
    """A split in an order of its own, whose examples say which object they show."""
    order = np.random.default_rng(seed).permutation(12)
    squares = [Squares(0, 2, 12)[index] for index in order]
    if names_objects:
        squares = [example | {"object": f"object{index}"} for example, index in zip(squares, order, strict=True)]
    return EvaluationSplit(domain, f"test_{role}", role, squares)


def data_on_backgrounds(**options):
    roles = {"x": ("id", "background_shift", *BACKGROUND_ROLES["id"]), "z": ("ood", *BACKGROUND_ROLES["ood"])}
    splits = [
        on_backgrounds(role, domain, number, **options)
        for domain, of_domain in roles.items()
        for number, role in enumerate(of_domain)
    ]
    return DomainData("squares", CLASSES, {}, splits, has_masks=True)


def test_an_object_of_each_side_is_shown_on_all_backgrounds():
    chosen = background_examples(data_on_backgrounds())
    assert [(split.domain, split.role) for split, _ in chosen] == [
        *(("x", role) for role in ("background_shift", *BACKGROUND_ROLES["id"])),
        *(("z", role) for role in ("ood", *BACKGROUND_ROLES["ood"])),
    ]
    objects = [split.source[int(index)]["object"] for split, (index,) in chosen]
    assert len(set(objects[:4])) == len(set(objects[4:])) == 1


def test_without_such_tests_or_names_of_objects_none_is_shown():
    assert background_examples(load_squares(get_config().data)) == []
    assert background_examples(data_on_backgrounds(names_objects=False)) == []
