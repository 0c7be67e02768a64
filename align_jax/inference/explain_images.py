"""Explains a user's own images with a trained run: predictions, learned masks and Grad-CAMs, as pictures and a page.

The networks see squares, as in evaluation; masks and Grad-CAMs are drawn over the image in its own shape. Images are
read, explained and written batch by batch; only the page's small tiles stay in memory.
"""

import dataclasses
import itertools
import json
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path, PurePosixPath
from typing import Any

import cv2
import jax
import numpy as np
from jaxtyping import Array, Float, UInt8

from align_jax.data.images import as_png
from align_jax.data.normalise import as_network_input
from align_jax.data.pipeline import padded_batch
from align_jax.evaluation.scores import explain
from align_jax.forward import Batch
from align_jax.inference.find_images import DRAWN, Found, find_images
from align_jax.inference.read_images import Readable, none_readable, readable_images
from align_jax.reporting.explain_page import CARDS, Card, Skipped, tile, tile_side, write_explanations_page
from align_jax.reporting.output_folder import check_output_folder
from align_jax.reporting.overlays import heat_overlay, mask_overlay
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.files import write_atomically
from align_jax.runtime.sharding import compile_step, data_mesh, place_batch, shared_evenly
from align_jax.states import States

BATCH = 8
TITLES = {"image": "Image", "mask": "Learned mask", "grad_cam": "Grad-CAM"}

# Probabilities, Grad-CAM and mask of a batch.
Explained = tuple[Float[Array, "b k"], Float[Array, "b h w"], Float[Array, "b h w"] | None]


@dataclasses.dataclass(frozen=True)
class Explanations:
    """The page that was written, the number of explained images, and the images that could not be read."""

    page: Path
    explained: int
    skipped: tuple[Skipped, ...]


def explain_images(
    trained: TrainedRun, paths: Sequence[Path], out: Path, say: Callable[[str], None] = lambda text: None
) -> Explanations:
    """Writes OUT/index.html, OUT/predictions.json and, for each image, its overlays below OUT/overlays.

    Args:
      trained: the run.
      paths: images, and folders, which are searched to any depth.
      out: the folder to write to; files of earlier calls are overwritten or left as they are.
      say: called with a line for every image.

    Raises:
      UserError: a path that does not exist, no image that can be read, or `out` among a run's own files.
    """
    check_output_folder(out, "explanations")
    images = find_images(paths, out, say)
    skipped: list[Skipped] = []
    cards: list[Card] = []
    predictions = []
    side = tile_side(len(images))
    mesh = data_mesh()
    # All batches have one shape, so that one program is compiled; a single image does not need a batch of eight.
    batch_size = shared_evenly(mesh, min(BATCH, len(images)))
    program = _program(trained, mesh)
    readable = readable_images(images, trained.config.data.image_size, skipped, say)
    while batch := list(itertools.islice(readable, batch_size)):
        rows = padded_batch([{"image": image.seen} for image in batch], batch_size)
        placed = place_batch(mesh, {"image": rows["image"]})
        probabilities, grad_cam, mask = jax.device_get(program(trained.states, placed))
        for i, image in enumerate(batch):
            overlays = _overlays(image, grad_cam[i], None if mask is None else mask[i])
            files = _write_overlays(overlays, image.found, out)
            pictures = {"image": image.shown} | overlays if len(cards) < CARDS else {}
            card = Card(
                name=str(image.found.name),
                probabilities=tuple(map(float, probabilities[i])),
                tiles=tuple(tile(TITLES[kind], pictures[kind], side, files.get(kind, "")) for kind in pictures),
            )
            cards.append(card)
            predictions.append(_prediction(card, trained.class_names, files))
            say(f"{card.name}: {predictions[-1]['predicted']} {100 * card.probabilities[card.predicted]:.1f} %")
    if not cards:
        raise none_readable(skipped)
    content = {"run": str(trained.folder), "step": trained.step, "images": predictions}
    content["skipped"] = [image._asdict() for image in skipped]
    write_atomically(out / "predictions.json", json.dumps(content, indent=2, allow_nan=False).encode())
    page = write_explanations_page(out / "index.html", trained, cards, skipped)
    return Explanations(page, len(cards), tuple(skipped))


def _overlays(
    image: Readable, grad_cam: Float[np.ndarray, "s s"], mask: Float[np.ndarray, "s s"] | None
) -> dict[str, UInt8[np.ndarray, "h w 3"]]:
    """The image under its mask, if there is one, and under its Grad-CAM."""
    overlays = {} if mask is None else {"mask": mask_overlay(image.shown, _in_shape(mask, image.shown))}
    return overlays | {"grad_cam": heat_overlay(image.shown, _in_shape(grad_cam, image.shown))}


def _write_overlays(overlays: Mapping[str, np.ndarray], found: Found, out: Path) -> dict[str, str]:
    """Writes the pictures, and returns their paths below `out`."""
    # The name keeps the image's suffix: a.jpg and a.png are two images.
    files = {kind: str(PurePosixPath(DRAWN, f"{found.name}.{kind}.png")) for kind in overlays}
    for kind, picture in overlays.items():
        write_atomically(out / files[kind], as_png(picture))
    return files


def _prediction(card: Card, class_names: Sequence[str], files: Mapping[str, str]) -> dict[str, Any]:
    """An image's entry in predictions.json."""
    return {
        "image": card.name,
        "predicted": class_names[card.predicted],
        "probabilities": dict(zip(class_names, card.probabilities, strict=True)),
    } | dict(files)


def _program(trained: TrainedRun, mesh: jax.sharding.Mesh) -> Callable[[States, Batch], Explained]:
    """Compiled: probabilities, Grad-CAM of the predicted class, and learned mask of a batch of pixels."""
    classifier, masker = trained.networks

    def explained(states: States, batch: Batch) -> Explained:
        result = explain(classifier, masker, "predicted", *states, as_network_input(batch))
        return jax.nn.softmax(result.logits), result.grad_cam, result.mask

    return compile_step(explained, mesh)


def _in_shape(values: Float[np.ndarray, "s s"], image: UInt8[np.ndarray, "h w 3"]) -> Float[np.ndarray, "h w"]:
    """A map of the square that the networks saw, resized to the shape of the image."""
    height, width = image.shape[:2]
    resized = cv2.resize(values.astype(np.float32), (width, height), interpolation=cv2.INTER_LINEAR)
    return np.clip(resized, 0.0, 1.0)
