"""Tests in which the background decides, for data whose `group` is the background and whose test objects have names.

emoji_scenes composes such tests. Here they are found: each image of an object on another class's background is paired
with one of the same object on its own class's.
"""

import collections
from collections.abc import Mapping, Sequence

import numpy as np

from align_jax.data.domains import BACKGROUND_ROLES, DomainData, EvaluationSplit, Part, Source, WithTexts, column
from align_jax.data.groups import label_and_group
from align_jax.errors import listed, one_line
from align_jax.runtime.terminal import say

ALIGNED, NEUTRAL, CONFLICTING = KINDS = ("aligned", "neutral", "conflicting")
SHOWN = 8


def own_groups(train: Mapping[str, Source]) -> dict[int, str]:
    """The own group of each label: the one whose share of its training images is the furthest above that of all images.

    The most frequent one would not do: a group that is frequent everywhere says nothing about a class.
    """
    pairs = collections.Counter(pair for source in train.values() for pair in label_and_group(source))
    labels, groups = collections.Counter[int](), collections.Counter[str]()
    for (label, group), count in pairs.items():
        labels[label] += count
        groups[group] += count
    total = sum(labels.values())
    return {
        label: max(sorted(groups), key=lambda group: pairs[label, group] / labels[label] - groups[group] / total)
        for label in sorted(labels)
    }


def background_tests(data: DomainData) -> list[EvaluationSplit]:
    """The tests `test_aligned`, `test_neutral` and `test_conflicting` of each domain that has a plain test.

    An image is *aligned* in its class's own group, *conflicting* in another class's, and *neutral* in any other. Each
    conflicting image is in its test once. The aligned and the neutral image that stand beside it are of the same
    object, the first ones beside the first ones; neutral ones may be missing. Objects without an aligned image are left
    out. In these tests `object` names such a set of images, and `concept` the object.

    Args:
      data: examples have a `group` and an `object`, which is "" for those that are of none.
    """
    own = own_groups(data.train)
    tests: list[EvaluationSplit] = []
    for split in data.evaluation:
        if split.role in BACKGROUND_ROLES:
            sets = _sets(split.source, own)
            for kind, role in zip(KINDS, BACKGROUND_ROLES[split.role], strict=True):
                if members := {name: of[kind] for name, of in sets.items() if kind in of}:
                    source = Part(split.source, np.array(list(members.values()), np.int64))
                    named = WithTexts(source, {"object": tuple(members)})
                    tests.append(EvaluationSplit(split.domain, f"test_{kind}", role, named))
    backgrounds = [f"{one_line(data.class_names[label])} on {group}" for label, group in own.items()]
    pairs = sum(len(test.source) for test in tests if test.split == f"test_{CONFLICTING}")
    say(
        f"By the training images, each class's own background: {listed(backgrounds, SHOWN)}. Test images on another "
        f"class's background, with one of the same object on its own: {pairs:,}."
    )
    return tests


def _sets(source: Source, own: Mapping[int, str]) -> dict[str, dict[str, int]]:
    """By a name, the indices of a conflicting image and of those of the same object that stand beside it."""
    seen: dict[tuple[int, str], dict[str, list[int]]] = {}
    for index, ((label, group), name) in enumerate(zip(label_and_group(source), column(source, "object"), strict=True)):
        if name:
            kind = ALIGNED if group == own.get(label) else CONFLICTING if group in own.values() else NEUTRAL
            seen.setdefault((label, name), {}).setdefault(kind, []).append(index)
    sets = {}
    for (label, name), by_kind in sorted(seen.items()):
        pairs = len(by_kind.get(CONFLICTING, ())) if ALIGNED in by_kind else 0
        for number in range(pairs):
            sets[f"{label}/{name}/{number}"] = {
                kind: indices[number * len(indices) // pairs] for kind, indices in by_kind.items()
            }
    return sets


def same_objects(source: Source) -> list[Sequence[int]]:
    """The indices of the images of each object that has several; a split keeps them together."""
    seen: dict[tuple[int, str], list[int]] = {}
    for index, (label, name) in enumerate(zip(column(source, "label"), column(source, "object"), strict=True)):
        if name:
            seen.setdefault((int(label), name), []).append(index)
    return [indices for indices in seen.values() if len(indices) > 1]
