"""Where things go in a scene, as a pure function of what the scene is called.

Nothing is drawn from a generator with a state: every number is a digest of the example's name. An example is
therefore the same whatever is composed before it, and the same scene at every size. Two kinds of pairs follow:

* raising the correlation only exchanges some of the backgrounds; all else stays where it was;
* `test` and `test_random` show the same objects at the same places, and differ in the background alone.
"""

import dataclasses
import hashlib
from collections.abc import Sequence

import numpy as np

# Fractions are whole multiples of 1 / FRACTION, so that the layout stays in integers.
FRACTION = 1 << 16

# The longer side of an object, in pixels of a canvas of 64 x 64; proportional on others.
LONGER_SIDE = (36, 62)

# A crop's side in pixels of the panorama, and the rows it stays in: the poles and the ground are distorted.
VIEW_SIDE = (72, 160)
VIEW_ROWS = (70, 236)
PANORAMA_WIDTH = 512

# The background with which a class is correlated, one to one.
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


@dataclasses.dataclass(frozen=True)
class ObjectLayout:
    """Size and place of an object: `top` and `left` are the part, in 1/FRACTION, of the free space before it."""

    longer_side: int
    top: int
    left: int
    flipped: bool

    def longer_side_at(self, size: int) -> int:
        """The object's longer side, in pixels of a canvas of `size` x `size`."""
        return (self.longer_side * size + 32) // 64


@dataclasses.dataclass(frozen=True)
class SceneLayout:
    """A background by name, and the square of it that is seen, in pixels of the panorama."""

    background: str
    side: int
    top: int
    left: int
    flipped: bool


def draw(name: str, bounds: Sequence[int]) -> list[int]:
    """One integer in [0, bound) for each of at most 16 bounds, uniform and independent, as a digest of `name`.

    A digest instead of `np.random`: its values are fixed by a standard (RFC 7693), a generator's methods are not.
    """
    words = np.frombuffer(hashlib.blake2b(name.encode()).digest(), dtype="<u4")
    return [(int(word) * bound) >> 32 for word, bound in zip(words[: len(bounds)], bounds, strict=True)]


def object_layout(vendor: str, subset: str, codepoint: str, number: int) -> ObjectLayout:
    """Where the object of composite `number` of a concept goes."""
    paired = "test" if subset == "test_random" else subset
    shortest, longest = LONGER_SIDE
    longer_side, top, left, flipped = draw(
        f"object/{vendor}/{paired}/{codepoint}/{number}", (longest - shortest + 1, FRACTION, FRACTION, 2)
    )
    return ObjectLayout(shortest + longer_side, top, left, bool(flipped))


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
    """What is seen behind the object of composite `number` of a concept.

    With probability `correlation` the class's own background, else one of `backgrounds`, uniformly: the own
    one therefore appears with probability `correlation + (1 - correlation) / len(backgrounds)`.
    """
    smallest, largest = VIEW_SIDE
    first_row, last_row = VIEW_ROWS
    coin, other, side, top, left, flipped = draw(
        f"scene/{vendor}/{subset}/{codepoint}/{number}",
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
