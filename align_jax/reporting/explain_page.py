"""The page of a user's own images: one self-contained file, grouped by what was predicted."""

import collections
import math
import os
import pathlib
import urllib.parse
from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import UInt8

from align_jax.reporting import names
from align_jax.reporting.overlays import data_uri, enlarged_image
from align_jax.reporting.page import TEMPLATES
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.files import write_atomically

# No tile is narrower, in pixels, unless its picture is.
NARROWEST = 96
# The most probable classes have a bar of their own; the others share one.
BARS = 5
# With cards for more images the page would be too large to open.
CARDS = 1000


class Skipped(NamedTuple):
    """An image that could not be read, and why."""

    name: str
    reason: str


class Tile(NamedTuple):
    """A small picture; `link` is the large one, relative to the page, or empty."""

    title: str
    uri: str
    link: str
    width: int
    height: int

    @property
    def is_strip(self) -> bool:
        """Whether it would be too narrow to look at if it were as tall as the other tiles."""
        return self.height > 3 * self.width


class Card(NamedTuple):
    """One image: its name, the probability of every class, and what there is to see."""

    name: str
    probabilities: Sequence[float]
    tiles: Sequence[Tile]

    @property
    def predicted(self) -> int:
        return int(np.argmax(self.probabilities))


class Bar(NamedTuple):
    """A class and its probability, as a share of a full bar and as text."""

    name: str
    percent: float
    text: str


def tile_side(images: int) -> int:
    """The longer side of a tile, in pixels: smaller where there are many, so that the page can still be opened."""
    return 384 if images <= 50 else 256 if images <= 250 else 160


def tile(title: str, picture: UInt8[np.ndarray, "h w 3"], side: int, file: str) -> Tile:
    """A picture as the page shows it: small, and where it has a `file` relative to the page, with a link to that.

    `side` is the tile's longer side, unless that would make it narrower than `NARROWEST`.
    """
    height, width = picture.shape[:2]
    side = max(side, math.ceil(NARROWEST * height / width))
    small = enlarged_image(picture, side) if max(height, width) > side else picture
    link = urllib.parse.quote(os.fsencode(file))
    return Tile(title, data_uri(small, quality=80), link, small.shape[1], small.shape[0])


def write_explanations_page(
    path: pathlib.Path, trained: TrainedRun, cards: Sequence[Card], skipped: Sequence[Skipped]
) -> pathlib.Path:
    """Writes the page: a section a class, an article an image, in the order in which the images came.

    Args:
      path: where to; the page loads nothing, links to its overlays beside it, and appears whole or not at all.
      trained: whose predictions these are.
      cards: at least one; those beyond `CARDS` have no tiles, and are only counted.
      skipped: what could not be read.
    """
    config = trained.config
    shown = cards[:CARDS]
    groups = [
        (label, name, [(card, _bars(card, trained.class_names)) for card in shown if card.predicted == label])
        for label, name in enumerate(trained.class_names)
    ]
    counts = collections.Counter(card.predicted for card in cards)
    facts = {
        "Run": str(trained.folder),
        "Algorithm": names.method_name(config.algorithm),
        "Data set": names.dataset_title(trained.data.name),
        "Trained on": ", ".join(trained.train_domains),
        "Checkpoint": f"step {trained.step}",
        "Images": f"{len(cards):,}",
    }
    page = TEMPLATES.get_template("explain.html").render(
        title=f"{len(cards):,} image{'s' if len(cards) > 1 else ''} through {facts['Algorithm']}",
        facts=facts | ({"Not read": f"{len(skipped):,}"} if skipped else {}),
        groups=[group for group in groups if group[2]],
        counts=counts,
        classes=len(trained.class_names),
        bars=BARS,
        size=config.data.image_size,
        has_masks=trained.networks[1] is not None,
        not_shown=len(cards) - len(shown),
        skipped=skipped,
    )
    return write_atomically(path, page.encode())


def _bars(card: Card, class_names: Sequence[str]) -> list[Bar]:
    """The most probable classes first. A single class beyond `BARS` has its own bar too: '1 others' would not help."""
    order = np.argsort(card.probabilities, kind="stable")[::-1]
    many = len(order) > BARS + 1
    shares = [(class_names[label], card.probabilities[label]) for label in order[: BARS if many else BARS + 1]]
    if many:
        shares.append((f"{len(order) - BARS} others", sum(card.probabilities[label] for label in order[BARS:])))
    percents = [(name, 100 * min(max(probability, 0.0), 1.0)) for name, probability in shares]
    return [Bar(name, round(p, 1), "< 1 %" if p < 0.95 else f"{p:.0f} %") for name, p in percents]
