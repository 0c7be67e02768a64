"""Where things go in a scene, as a pure function of the scene's name.

Every number is a digest of the example's name, and no generator has a state. An example therefore does not depend on
those before it, and shows the same scene at every size. Scenes can also be compared in pairs:

* a higher correlation only exchanges some of the backgrounds; all else stays in its place;
* all tests show the same objects at the same places, and differ only in the background;
* `test_aligned`, `test_neutral` and `test_conflicting` show the same square of three panoramas.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

# Fractions are multiples of 1 / FRACTION, so that the layout needs only integers.
FRACTION = 1 << 16

# Bounds of an object's longer side, in pixels of a canvas of 64 x 64. It grows with the canvas.
LONGER_SIDE = (36, 62)

# Bounds of a crop's side in pixels of the panorama, and of its rows: the poles and the ground are distorted.
VIEW_SIDE = (72, 160)
VIEW_ROWS = (70, 236)
PANORAMA_WIDTH = 512

# The background that each class is correlated with. No two classes share one.
OWN_BACKGROUND = {
    "mammal": "park",
    "other_animal": "forest",
    "produce": "warehouse",
    "meal": "esplanade",
    "vehicle": "city",
    "building": "sunset",
    "clothing": "studio",
    "tool": "workshop",
}


# The tests in which the background decides: the class's own one, one of no class, and another class's own.
ALIGNED, NEUTRAL, CONFLICTING = BACKGROUND_TESTS = ("test_aligned", "test_neutral", "test_conflicting")


@dataclasses.dataclass(frozen=True)
class ObjectLayout:
    """Size and place of an object: `top` and `left` are shares, in 1/FRACTION, of the free space around it."""

    longer_side: int
    top: int
    left: int
    flipped: bool

    def longer_side_at(self, size: int) -> int:
        """The object's longer side, in pixels of a canvas of `size` x `size`."""
        return (self.longer_side * size + 32) // 64


@dataclasses.dataclass(frozen=True)
class SceneLayout:
    """A background's name, and the square of it that the scene shows, in pixels of the panorama."""

    background: str
    side: int
    top: int
    left: int
    flipped: bool


def draw(name: str, bounds: Sequence[int]) -> list[int]:
    """One integer in [0, bound) for each of at most 16 bounds, uniform and independent, from a digest of `name`.

    A standard (RFC 7693) fixes the values of this digest. Those of `np.random` may change.
    """
    words = np.frombuffer(hashlib.blake2b(name.encode()).digest(), dtype="<u4")
    return [(int(word) * bound) >> 32 for word, bound in zip(words[: len(bounds)], bounds, strict=True)]


def objects_of(subset: str) -> str:
    """The split whose objects, at their places, a split shows."""
    return "test" if subset in ("test_random", *BACKGROUND_TESTS) else subset


def object_layout(vendor: str, subset: str, codepoint: str, number: int) -> ObjectLayout:
    """Where the object of composite `number` of a concept goes."""
    shortest, longest = LONGER_SIDE
    longer_side, top, left, flipped = draw(
        f"object/{vendor}/{objects_of(subset)}/{codepoint}/{number}", (longest - shortest + 1, FRACTION, FRACTION, 2)
    )
    return ObjectLayout(shortest + longer_side, top, left, bool(flipped))


def possible_backgrounds(
    subset: str, class_name: str, class_names: Sequence[str], backgrounds: Sequence[str]
) -> tuple[str, ...]:
    """The backgrounds of which a scene of a split has one.

    Args:
        subset: the split, without its vendor.
        class_name: the scene's class.
        class_names: the classes in use, whose own backgrounds conflict with it.
        backgrounds: all of them.
    """
    if subset == ALIGNED:
        return (OWN_BACKGROUND[class_name],)
    if subset == NEUTRAL:
        # Of none of the eight classes, so that the five have the same scenes.
        return tuple(name for name in backgrounds if name not in OWN_BACKGROUND.values())
    if subset == CONFLICTING:
        return tuple(OWN_BACKGROUND[other] for other in class_names if other != class_name)
    return tuple(backgrounds)


def scene_layout(
    vendor: str,
    subset: str,
    codepoint: str,
    number: int,
    *,
    class_name: str,
    backgrounds: Sequence[str],
    correlation: float,
) -> SceneLayout:
    """What is behind the object of composite `number` of a concept.

    This is the class's own background with probability `correlation`, and otherwise any of `backgrounds`. The own one
    therefore appears with probability `correlation + (1 - correlation) / len(backgrounds)`.
    """
    smallest, largest = VIEW_SIDE
    first_row, last_row = VIEW_ROWS
    view = "background_tests" if subset in BACKGROUND_TESTS else subset
    coin, other, side, top, left, flipped = draw(
        f"scene/{vendor}/{view}/{codepoint}/{number}",
        (1000, len(backgrounds), largest - smallest + 1, FRACTION, PANORAMA_WIDTH, 2),
    )
    side += smallest
    return SceneLayout(
        background=OWN_BACKGROUND[class_name] if coin < round(1000 * correlation) else backgrounds[other],
        side=side,
        top=first_row + (top * (last_row - first_row - side + 1)) // FRACTION,
        left=left,
        flipped=bool(flipped),
    )
