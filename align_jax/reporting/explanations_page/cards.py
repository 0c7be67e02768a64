"""The cards: an image, and what every method of every run shows on it."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np

from align_jax.reporting.columns import Metric
from align_jax.reporting.explanations_page.data import ExplainedImage, Explanations, is_labelled
from align_jax.reporting.explanations_page.pictures import Sides, heat_uri, mask_uri, most_important, picture_uri
from align_jax.tables.table import shortened


class Tile(NamedTuple):
    """What one method shows.

    Attributes:
      method: its name.
      of: which run and which method it is, as the page's controls count them.
      map: the address of its heat; empty if there is no map of this image.
      mask: that of its most important pixels; empty if it orders no pixels.
      numbers: the values of the metrics as text.
      scores: all of their digits, for sorting.
    """

    method: str
    of: str
    map: str
    mask: str
    numbers: Sequence[str]
    scores: str


class RunOfCard(NamedTuple):
    """What one run predicts, and its methods' tiles; `run` is empty where there is only one."""

    run: str
    predicted: str
    percent: str
    right: bool | None
    tiles: Sequence[Tile]


class Card(NamedTuple):
    """An image; `domain_number` and `class_number` count the options of the page's controls.

    Its class is its label, or on a page without labels what the first run predicts.
    """

    name: str
    domain: str
    label: str
    domain_number: int
    class_number: int
    image: str
    filled: str
    shape: str
    runs: Sequence[RunOfCard]

    @property
    def addresses(self) -> list[str]:
        """Of all its pictures."""
        tiles = [tile for run in self.runs for tile in run.tiles]
        return [self.image, self.filled, *(tile.map for tile in tiles), *(tile.mask for tile in tiles)]


def domains_of(run: Explanations) -> list[str]:
    """Of the images with a card, in alphabetical order."""
    return sorted({image.domain for image in run.images})


def classes_of(run: Explanations) -> list[str]:
    """Likewise, their classes: labels, or on a page without labels the predictions."""
    return sorted({_class_of(run, image) for image in run.images})


def _class_of(run: Explanations, image: ExplainedImage) -> str:
    return (image.label or "") if is_labelled(run) else image.predicted


def cards_of(runs: Mapping[str, Explanations], metrics: Sequence[Metric], sides: Sides) -> list[Card]:
    """A card for each image of the runs, which explain the same ones."""
    first = next(iter(runs.values()))
    domains, classes = domains_of(first), classes_of(first)
    cards = []
    for position, image in enumerate(first.images):
        height, width = image.image.shape[:2]
        of_runs = [
            _of_run(name if len(runs) > 1 else "", number, run, run.images[position], metrics, sides.map)
            for number, (name, run) in enumerate(runs.items())
        ]
        cards.append(
            Card(
                name=shortened(image.name),
                domain=shortened(image.domain),
                label=shortened(image.label or ""),
                domain_number=domains.index(image.domain),
                class_number=classes.index(_class_of(first, image)),
                image=picture_uri(image.image, sides.image),
                filled=picture_uri(image.filled, sides.map),
                shape=f"{width}/{height}",
                runs=of_runs,
            )
        )
    return cards


def _of_run(
    name: str, number: int, run: Explanations, image: ExplainedImage, metrics: Sequence[Metric], side: int
) -> RunOfCard:
    tiles = []
    for position, method in enumerate(run.methods):
        saliency = image.maps.get(method)
        top = None if saliency is None else most_important(saliency, run.settings.shown_fraction)
        of_method = run.values.get(method, {})
        values = [float(of_method[m.key][image.place]) if m.key in of_method else np.nan for m in metrics]
        tiles.append(
            Tile(
                method=shortened(method),
                of=f"{number}-{position}",
                map="" if saliency is None else heat_uri(saliency, side),
                mask="" if top is None else mask_uri(top, side),
                numbers=[metric.text(value) for metric, value in zip(metrics, values, strict=True)],
                scores=" ".join(f"{value:.6g}" for value in values),
            )
        )
    percent = f"{100 * image.probability:.0f} %" if np.isfinite(image.probability) else ""
    return RunOfCard(shortened(name), shortened(image.predicted), percent, image.right, tiles)
