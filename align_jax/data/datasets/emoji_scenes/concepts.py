"""Which concepts are learnt from and which are kept for the test."""

import dataclasses
import hashlib
from collections.abc import Iterable

FOLDS = (0, 1, 2, 3)

CLASS_SETS: dict[str, tuple[str, ...]] = {
    "five": ("mammal", "produce", "vehicle", "building", "clothing"),
    "all": ("mammal", "other_animal", "produce", "meal", "vehicle", "building", "clothing", "tool"),
}


@dataclasses.dataclass(frozen=True)
class Concept:
    """What an emoji stands for, whoever draws it: code points joined by `-`, Unicode's name, class."""

    codepoint: str
    name: str
    class_name: str


def split_concepts(concepts: Iterable[Concept], fold: int) -> dict[str, list[Concept]]:
    """Splits concepts into train, validation and test, 60/15/25 in each class; the same for every vendor.

    Within a class, concepts are put in an order that their code points alone decide. Every fourth is for the test,
    beginning with the fold's number, so that the four folds' tests partition the concepts; of the others every
    fifth is for validation. The split of a concept does not depend on the other classes that are in use.

    Args:
        concepts: all concepts of the classes in use.
        fold: one of `FOLDS`.

    Returns:
        Lists under "train", "validation", "test"; disjoint, together all `concepts`.
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
