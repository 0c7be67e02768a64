"""Seeded splits: the indices of the examples in each part, which depend only on the size and the seed."""

from collections.abc import Iterable, Sequence

import numpy as np
from jaxtyping import Int


def seeded_split(size: int, fractions: Sequence[float], seed: int) -> list[Int[np.ndarray, " _"]]:
    """Splits 0 ... size - 1 at random into sorted parts, the same on every machine.

    Each part but the last has its share in `fractions`, rounded; the last part is the rest.
    """
    if min(fractions) < 0 or sum(fractions) > 1 + 1e-9:
        raise ValueError(f"Split fractions are {tuple(fractions)}; they must not be negative, and add up to at most 1.")
    order = np.random.Generator(np.random.PCG64(seed)).permutation(size)
    ends = np.minimum(np.round(np.cumsum(fractions) * size).astype(int), size)
    return [np.sort(part) for part in np.split(order, ends)]


def together(parts: Sequence[Int[np.ndarray, " _"]], groups: Iterable[Sequence[int]]) -> list[Int[np.ndarray, " _"]]:
    """The parts, with each group moved to the part of its first member.

    Groups are identical images, for example, which must not be in both training and test.
    """
    part_of = np.empty(sum(map(len, parts)), np.int64)
    for number, part in enumerate(parts):
        part_of[part] = number
    for group in groups:
        part_of[list(group)] = part_of[group[0]]
    return [np.flatnonzero(part_of == number) for number in range(len(parts))]


def stratified_split(
    labels: Int[np.ndarray, " n"], fractions: Sequence[float], seed: int
) -> list[Int[np.ndarray, " _"]]:
    """`seeded_split` of each class alone, so that every part has its share of a rare class."""
    parts: list[list[Int[np.ndarray, " _"]]] = [[] for _ in range(len(fractions) + 1)]
    for label in np.unique(labels):
        members = np.flatnonzero(labels == label)
        class_seed = int(np.random.SeedSequence([seed, int(label)]).generate_state(1)[0])
        for part, chosen in zip(parts, seeded_split(len(members), fractions, class_seed), strict=True):
            part.append(members[chosen])
    return [np.sort(np.concatenate(part)) for part in parts]


def seeded_subset(size: int, most: int, seed: int) -> Int[np.ndarray, " _"]:
    """At most `most` of 0 ... size - 1, at random, sorted."""
    if size <= most:
        return np.arange(size)
    return seeded_split(size, [most / size], seed)[0]
