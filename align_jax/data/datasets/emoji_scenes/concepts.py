"""Splits the concepts into those of training, validation and test."""

import hashlib
from collections.abc import Iterable
from typing import NamedTuple

FOLDS = (0, 1, 2, 3)

CLASS_SETS: dict[str, tuple[str, ...]] = {
    "five": ("mammal", "produce", "vehicle", "building", "clothing"),
    "all": ("mammal", "other_animal", "produce", "meal", "vehicle", "building", "clothing", "tool"),
}


class Concept(NamedTuple):
    """What an emoji stands for, whichever vendor draws it."""

    codepoint: str  # its code points, joined by `-`
    name: str  # Unicode's
    class_name: str


def split_concepts(concepts: Iterable[Concept], fold: int) -> dict[str, list[Concept]]:
    """Splits concepts into "train", "validation" and "test", 60/15/25 in each class; the same for every vendor.

    Within a class, only the code points decide the order. Every fourth concept is for the test, beginning with the
    fold's number: each concept is in the test of exactly one of the four `FOLDS`. Of the others, every fifth is for
    validation. A concept's split does not depend on which other classes are in use.
    """
    by_class: dict[str, list[Concept]] = {}
    for concept in concepts:
        by_class.setdefault(concept.class_name, []).append(concept)

    splits: dict[str, list[Concept]] = {"train": [], "validation": [], "test": []}
    for members in by_class.values():
        shuffled = sorted(members, key=lambda concept: hashlib.blake2b(concept.codepoint.encode()).digest())
        test = shuffled[fold :: len(FOLDS)]
        others = [concept for concept in shuffled if concept not in test]
        validation = others[fold::5]
        splits["test"] += test
        splits["validation"] += validation
        splits["train"] += [concept for concept in others if concept not in validation]
    return splits
