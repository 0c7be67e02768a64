"""The gallery: each image beside its masks and its Grad-CAMs, as cards of a page."""

import pathlib
from collections.abc import Callable, Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8

from align_jax.reporting import names
from align_jax.reporting.compared import shared_selection
from align_jax.reporting.overlays import data_uri, enlarged_image, enlarged_map, heat_overlay, mask_overlay
from align_jax.runs.read import Run
from align_jax.runs.read_arrays import Gallery, read_gallery

TILE = 192


class Tile(NamedTuple):
    title: str
    method: str
    alt: str
    uri: str
    score: str


class Prediction(NamedTuple):
    """What one method says of the image; `method` is empty on the page of a single run."""

    method: str
    name: str
    percent: str
    right: bool


class Card(NamedTuple):
    domain: str
    name: str
    predictions: Sequence[Prediction]
    tiles: Sequence[Tile]


class CardGroup(NamedTuple):
    """The cards of one role."""

    title: str
    meaning: str
    cards: Sequence[Card]


class Layer(NamedTuple):
    """One column of the gallery; `method` names whose it is where there are several, `score` is a key of `SCORES`."""

    title: str
    says: str
    method: str = ""
    maps: Float[np.ndarray, "n h w"] | None = None
    score: str = ""

    def drawn(self, image: UInt8[np.ndarray, "h w 3"], i: int, side: int) -> UInt8[np.ndarray, "big_h big_w 3"]:
        large = enlarged_image(image, side)
        if self.maps is None:
            return large
        overlay = heat_overlay if self.score == "inside" else mask_overlay
        return overlay(large, enlarged_map(self.maps[i], side))

    def scored(self, true_masks: Float[np.ndarray, "n h w"] | None, i: int) -> str:
        """How well image i's map fits its true mask, in a few characters; empty where that says nothing."""
        if self.maps is None or true_masks is None or not self.score:
            return ""
        value = SCORES[self.score](self.maps[i], true_masks[i])
        return f"{self.score} {value:.2f}" if value is not None else ""


def gallery_cards(runs: Mapping[str, Run]) -> tuple[list[CardGroup], list[str]]:
    """The cards of one run, or of several runs that kept the same images.

    Args:
      runs: by the names of their methods; the first with a gallery decides on the images.

    Returns:
      The cards grouped by role, and the names of the runs left out because they kept no images, or others.
    """
    shown, left_out = sharing_images(runs)
    if not shown:
        return [], left_out
    gallery, layers, of_shown = next(iter(shown.values())), gallery_layers(shown), [runs[name] for name in shown]
    groups = []
    for role in names.in_role_order(gallery.role):
        cards = [_card(shown, of_shown[0].class_names, layers, i) for i, of in enumerate(gallery.role) if of == role]
        meaning = names.role_meaning(role, of_shown[0].dataset, shared_selection(of_shown))
        groups.append(CardGroup(names.role_title(role), meaning, cards))
    return groups, left_out


def mask_iou(learned: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"]) -> float | None:
    """Intersection over union at a threshold of 0.5; None where both masks are empty."""
    a, b = learned > 0.5, true > 0.5
    union = np.count_nonzero(a | b)
    return np.count_nonzero(a & b) / union if union else None


def cam_energy(cam: Float[np.ndarray, "h w"], true: Float[np.ndarray, "h w"]) -> float | None:
    """The share of a map's mass that lies inside the true mask, `sum(s m) / sum(s)`; None for an empty map."""
    mass = float(cam.sum())
    return float((cam * (true > 0.5)).sum()) / mass if mass > 0 else None


SCORES = {"IoU": mask_iou, "inside": cam_energy}


def sharing_images(
    runs: Mapping[str, Run], read: Callable[[pathlib.Path], Gallery | None] = read_gallery
) -> tuple[dict[str, Gallery], list[str]]:
    """The galleries with the images of the first of them, and the names of the runs without such a gallery."""
    shown: dict[str, Gallery] = {}
    for name, run in runs.items():
        gallery = read(run.path)
        if gallery is not None and len(gallery) and all(gallery.same_images(other) for other in shown.values()):
            shown[name] = gallery
    return shown, [name for name in runs if name not in shown]


def gallery_layers(galleries: Mapping[str, Gallery]) -> list[Layer]:
    """The columns: image, learned mask, true mask, then every method's Grad-CAM before and after guidance."""
    true_mask = next(iter(galleries.values())).true_mask
    learned = {name: mask for name, gallery in galleries.items() if (mask := gallery.learned_mask) is not None}
    layers = [Layer("Image", "the image")]
    for name, mask in learned.items():
        method = name if len(learned) > 1 else ""
        layers.append(Layer("Learned mask", f"seen through the mask of {name}", method, mask, "IoU"))
    if true_mask is not None:
        layers.append(Layer("True mask", "seen through the true mask", maps=true_mask))
    for name, gallery in galleries.items():
        method = name if len(galleries) > 1 else ""
        before = gallery.grad_cam_before
        if before is not None:
            layers.append(Layer("Grad-CAM before", f"Grad-CAM of {name} before guidance", method, before, "inside"))
        title = "Grad-CAM" if before is None else "Grad-CAM after"
        layers.append(Layer(title, f"Grad-CAM of {name} at the end", method, gallery.grad_cam, "inside"))
    return layers


def predictions_of(galleries: Mapping[str, Gallery], class_names: Sequence[str], i: int) -> list[Prediction]:
    """What each method says of image i."""
    return [
        Prediction(
            method=method if len(galleries) > 1 else "",
            name=names.class_name(class_names, int(gallery.predicted[i])),
            percent=f"{100 * float(gallery.probability[i]):.0f} %",
            right=bool(gallery.predicted[i] == gallery.label[i]),
        )
        for method, gallery in galleries.items()
    ]


def _card(galleries: Mapping[str, Gallery], class_names: Sequence[str], layers: Sequence[Layer], i: int) -> Card:
    first = next(iter(galleries.values()))
    name = names.class_name(class_names, int(first.label[i]))
    tiles = [
        Tile(
            title=layer.title,
            method=layer.method,
            alt=f"{name} of the domain {first.domain[i]}: {layer.says}",
            uri=data_uri(layer.drawn(first.image[i], i, TILE)),
            score=layer.scored(first.true_mask, i),
        )
        for layer in layers
    ]
    return Card(first.domain[i], name, predictions_of(galleries, class_names, i), tiles)
