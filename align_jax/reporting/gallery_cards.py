"""The gallery: each image beside its masks and its Grad-CAMs, as cards of a page or as one picture."""

import io
import pathlib
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, UInt8
from PIL import Image, ImageDraw, ImageFont

from align_jax.reporting import names
from align_jax.reporting.compared import named_methods, shared_selection
from align_jax.reporting.overlays import data_uri, enlarged_image, enlarged_map, heat_overlay, mask_overlay
from align_jax.runs.read import Run, read_run
from align_jax.runs.read_arrays import Gallery, read_gallery
from align_jax.runtime.files import write_atomically

TILE = 192
FIGURE_TILE = 116
FIGURE_BYTES = 300_000
INK, GREY = "#1c1f26", "#6a7080"


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


class _Layer(NamedTuple):
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
    shown, left_out = _sharing_images(runs)
    if not shown:
        return [], left_out
    gallery, layers, of_shown = next(iter(shown.values())), _layers(shown), [runs[name] for name in shown]
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


def chosen(gallery: Gallery, count: int) -> list[int]:
    """Indices of images for a short picture, the held-out domain first, roles, domains and classes in turn.

    Neither predictions nor maps are looked at: the picture shows what came, not what came out well.
    """
    order = list(reversed(names.ROLES))
    rank = {role: order.index(role) if role in order else len(order) for role in gallery.role}
    queues: dict[tuple[int, str, str], list[int]] = {}
    for i in sorted(range(len(gallery)), key=lambda i: (rank[gallery.role[i]], i)):
        queues.setdefault((rank[gallery.role[i]], gallery.role[i], gallery.domain[i]), []).append(i)
    picked: list[int] = []
    shown = dict.fromkeys(map(int, gallery.label), 0)
    while len(picked) < min(count, len(gallery)):
        for queue in queues.values():
            if queue and len(picked) < count:
                i = min(queue, key=lambda i: shown[int(gallery.label[i])])
                queue.remove(i)
                shown[int(gallery.label[i])] += 1
                picked.append(i)
    return sorted(picked, key=lambda i: (rank[gallery.role[i]], gallery.domain[i], i))


def gallery_figure(
    run: pathlib.Path, path: pathlib.Path, *, compared_with: pathlib.Path | None = None, rows: int = 6
) -> pathlib.Path:
    """Writes a picture of a gallery for a README: a row an image, a column a mask or a map.

    Columns: image | learned mask | true mask | Grad-CAM before | Grad-CAM after | the other method's Grad-CAM,
    those of them that the runs kept.

    Args:
      run: the run folder.
      path: the PNG to write; at most about 300 kB, for which its colours are reduced as far as it takes.
      compared_with: a run folder that kept the same images, typically that of ERM.
      rows: how many images; `chosen` says which.

    Raises:
      ValueError: a file is missing or broken, or the two galleries hold different images.
    """
    runs = named_methods([read_run(folder) for folder in (run, compared_with) if folder is not None])
    shown, _ = _sharing_images(runs)
    if len(shown) < len(runs):
        raise ValueError(
            f"no picture can be made of {' and '.join(str(r.path / 'gallery') for r in runs.values())}: each needs a "
            "final.npz, with the same images; run the methods with one data set, seed and gallery size"
        )
    gallery, layers = next(iter(shown.values())), _layers(shown)
    class_names = next(iter(runs.values())).class_names
    picked = chosen(gallery, rows)
    label_width, title_height, gap, margin = 88, 40, 4, 12
    tiles = [[layer.drawn(gallery.image[i], i, FIGURE_TILE) for layer in layers] for i in picked]
    height, width = tiles[0][0].shape[:2]
    left, top = margin + label_width, margin + title_height
    size = (left + len(layers) * (width + gap) - gap + margin, top + len(picked) * (height + gap) - gap + margin)
    sheet = Image.new("RGB", size, "white")
    draw = ImageDraw.Draw(sheet)
    small, normal = ImageFont.load_default(12), ImageFont.load_default(13)
    for column, layer in enumerate(layers):
        centre = left + column * (width + gap) + width // 2
        title = f"{layer.method}\n{layer.title}".strip()
        draw.multiline_text((centre, top - 7), title, INK, normal, anchor="md", align="center", spacing=2)
    for row, i in enumerate(picked):
        y = top + row * (height + gap)
        name = names.class_name(class_names, int(gallery.label[i]))
        middle = y + height // 2
        draw.text((margin, middle - 1), _cut(draw, name, normal, label_width - 8), INK, normal, anchor="ls")
        draw.text((margin, middle + 4), _cut(draw, gallery.domain[i], small, label_width - 8), GREY, small, anchor="la")
        for column, tile in enumerate(tiles[row]):
            sheet.paste(Image.fromarray(tile), (left + column * (width + gap), y))
    return write_atomically(path, _png(sheet, FIGURE_BYTES))


def _png(sheet: Image.Image, at_most: int) -> bytes:
    """A PNG with as many levels a channel as the size allows (a palette would need dithering, which shows)."""
    for levels in (256, 128, 64, 48, 32, 24, 16):
        step = 255 / (levels - 1)
        stream = io.BytesIO()
        sheet.point([round(round(value / step) * step) for value in range(256)] * 3).save(stream, format="PNG")
        content = stream.getvalue()
        if len(content) <= at_most:
            break
    return content


def _cut(draw: ImageDraw.ImageDraw, text: str, font: ImageFont.ImageFont | ImageFont.FreeTypeFont, width: int) -> str:
    """The text, shortened with an ellipsis to fit."""
    text = " ".join(text.split())
    if draw.textlength(text, font) <= width:
        return text
    while text and draw.textlength(f"{text}…", font) > width:
        text = text[:-1]
    return f"{text}…"


def _sharing_images(runs: Mapping[str, Run]) -> tuple[dict[str, Gallery], list[str]]:
    """The galleries with the images of the first of them, and the names of the runs without such a gallery."""
    shown: dict[str, Gallery] = {}
    for name, run in runs.items():
        gallery = read_gallery(run.path)
        if gallery is not None and len(gallery) and all(gallery.same_images(other) for other in shown.values()):
            shown[name] = gallery
    return shown, [name for name in runs if name not in shown]


def _layers(galleries: Mapping[str, Gallery]) -> list[_Layer]:
    """The columns: image, learned mask, true mask, then every method's Grad-CAM before and after guidance."""
    true_mask = next(iter(galleries.values())).true_mask
    learned = {name: mask for name, gallery in galleries.items() if (mask := gallery.learned_mask) is not None}
    layers = [_Layer("Image", "the image")]
    for name, mask in learned.items():
        method = name if len(learned) > 1 else ""
        layers.append(_Layer("Learned mask", f"seen through the mask of {name}", method, mask, "IoU"))
    if true_mask is not None:
        layers.append(_Layer("True mask", "seen through the true mask", maps=true_mask))
    for name, gallery in galleries.items():
        method = name if len(galleries) > 1 else ""
        before = gallery.grad_cam_before
        if before is not None:
            layers.append(_Layer("Grad-CAM before", f"Grad-CAM of {name} before guidance", method, before, "inside"))
        title = "Grad-CAM" if before is None else "Grad-CAM after"
        layers.append(_Layer(title, f"Grad-CAM of {name} at the end", method, gallery.grad_cam, "inside"))
    return layers


def _card(galleries: Mapping[str, Gallery], class_names: Sequence[str], layers: Sequence[_Layer], i: int) -> Card:
    first = next(iter(galleries.values()))
    name = names.class_name(class_names, int(first.label[i]))
    predictions = [
        Prediction(
            method=method if len(galleries) > 1 else "",
            name=names.class_name(class_names, int(gallery.predicted[i])),
            percent=f"{100 * float(gallery.probability[i]):.0f} %",
            right=bool(gallery.predicted[i] == first.label[i]),
        )
        for method, gallery in galleries.items()
    ]
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
    return Card(first.domain[i], name, predictions, tiles)
