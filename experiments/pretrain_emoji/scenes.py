"""Emoji on random backgrounds, composed as in emoji_scenes, and kept in memory."""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Int32, UInt8

from align_jax.data.augment import Augmentation, augment
from align_jax.data.datasets.emoji_scenes.compose import compose
from align_jax.data.datasets.emoji_scenes.layout import FRACTION, LONGER_SIDE, ObjectLayout, SceneLayout
from experiments.pretrain_emoji.backgrounds import background
from experiments.pretrain_emoji.emoji import Emoji

# Every fifth concept of each subgroup is for validation.
HELD_OUT = 5


class Scenes(NamedTuple):
    """Images and their subgroups' numbers."""

    image: UInt8[np.ndarray, "n h w 3"]
    label: Int32[np.ndarray, " n"]


def hold_out(emoji: Iterable[Emoji]) -> tuple[list[Emoji], list[Emoji]]:
    """Splits by concept, for all vendors alike: (to learn from, to validate on), the latter at least one per subgroup.

    Within a subgroup the order is by a digest of the code points, as in `emoji_scenes.concepts`.
    """
    by_subgroup: dict[str, list[Emoji]] = {}
    for drawing in emoji:
        by_subgroup.setdefault(drawing.subgroup, []).append(drawing)
    train: list[Emoji] = []
    validation: list[Emoji] = []
    for subgroup in sorted(by_subgroup):
        members = by_subgroup[subgroup]
        codepoints = {drawing.codepoint for drawing in members}
        shuffled = sorted(codepoints, key=lambda codepoint: hashlib.blake2b(codepoint.encode()).digest())
        held_out = set(shuffled[::HELD_OUT])
        train += [drawing for drawing in members if drawing.codepoint not in held_out]
        validation += [drawing for drawing in members if drawing.codepoint in held_out]
    return train, validation


def compose_scenes(
    emoji: Sequence[Emoji], subgroups: Sequence[str], each: int, size: int, generator: np.random.Generator
) -> Scenes:
    """Scenes of every emoji: sizes, places and flips are drawn as emoji_scenes draws them, backgrounds are random.

    Args:
      emoji: what is shown.
      subgroups: the classes, in the order of their numbers.
      each: the number of scenes per emoji.
      size: side in pixels.
      generator: the source of randomness.
    """
    image = np.empty((len(emoji) * each, size, size, 3), np.uint8)
    view = SceneLayout(background="", side=size, top=0, left=0, flipped=False)  # the whole picture, as it is
    for number in range(len(image)):
        longer_side = int(generator.integers(*LONGER_SIDE, endpoint=True))
        top, left, flipped = (int(value) for value in generator.integers((FRACTION, FRACTION, 2)))
        layout = ObjectLayout(longer_side, top, left, bool(flipped))
        image[number], _ = compose(emoji[number // each].pixels, layout, background(generator, size), view, size)
    numbers = {subgroup: number for number, subgroup in enumerate(subgroups)}
    label = np.repeat(np.array([numbers[drawing.subgroup] for drawing in emoji], np.int32), each)
    return Scenes(image, label)


def training_batches(
    scenes: Scenes, batch_size: int, generator: np.random.Generator, augmentation: Augmentation
) -> Iterator[Scenes]:
    """Endless augmented batches; each pass shows a scene at most once, in a new order."""
    size = scenes.image.shape[1]
    while True:
        order = generator.permutation(len(scenes.label))
        for start in range(0, len(order) - batch_size + 1, batch_size):
            chosen = order[start : start + batch_size]
            image = np.stack(
                [augment({"image": scenes.image[index]}, generator, size, augmentation)["image"] for index in chosen]
            )
            yield Scenes(image, scenes.label[chosen])
