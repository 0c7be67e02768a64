"""One object on all of its backgrounds, with what each method predicts there, as cards of a page."""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

from align_jax.reporting import names
from align_jax.reporting.by_background import background_title
from align_jax.reporting.gallery_cards import TILE, Layer, Prediction, Tile, predictions_of, sharing_images
from align_jax.reporting.overlays import data_uri
from align_jax.runs.read import Run
from align_jax.runs.read_arrays import Gallery, read_backgrounds


class View(NamedTuple):
    """The object on one background: the image, the methods' predictions, and their Grad-CAMs."""

    image: Tile
    predictions: Sequence[Prediction]
    maps: Sequence[Tile]


class ObjectCard(NamedTuple):
    """One object of a domain."""

    domain: str
    name: str
    views: Sequence[View]


def object_cards(runs: Mapping[str, Run]) -> list[ObjectCard]:
    """A card for each object that the runs kept; runs that kept other objects, or none, are left out.

    Args:
      runs: by the names of their methods; the first with such a picture decides on the objects.
    """
    shown, _ = sharing_images(runs, read_backgrounds)
    if not shown:
        return []
    first, of_shown = next(iter(shown.values())), [runs[name] for name in shown]
    splits = {(result.domain, result.role): result.split for result in of_shown[0].results}
    cards = []
    for domain in dict.fromkeys(first.domain):
        numbers = [i for i, of in enumerate(first.domain) if of == domain]
        name = names.class_name(of_shown[0].class_names, int(first.label[numbers[0]]))
        views = []
        for i in numbers:
            background = background_title(splits.get((domain, first.role[i]), first.role[i]))
            views.append(_view(shown, of_shown[0].class_names, i, background, name))
        cards.append(ObjectCard(domain, name, views))
    return cards


def _view(shown: Mapping[str, Gallery], class_names: Sequence[str], i: int, background: str, name: str) -> View:
    first = next(iter(shown.values()))
    group = first.group[i] if first.group else ""

    def tile(layer: Layer) -> Tile:
        return Tile(
            title=background if layer.maps is None else layer.title,
            method=layer.method,
            alt=f"{name} of the domain {first.domain[i]} on a background that is {background.lower()}: {layer.says}",
            uri=data_uri(layer.drawn(first.image[i], i, TILE)),
            score=group if layer.maps is None else layer.scored(first.true_mask, i),
        )

    maps = [
        Layer("Grad-CAM", f"Grad-CAM of {method}", method if len(shown) > 1 else "", gallery.grad_cam, "inside")
        for method, gallery in shown.items()
    ]
    return View(tile(Layer("Image", "the image")), predictions_of(shown, class_names, i), [tile(m) for m in maps])
