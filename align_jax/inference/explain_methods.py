"""Explains images with several methods, scores the maps, and writes the page and the numbers.

The images are the run's own tests, or a user's. Runs that stand side by side explain the same images.
"""

import dataclasses
from collections.abc import Callable, Collection, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import ml_collections
import numpy as np

from align_jax import explanations
from align_jax.data.normalise import as_network_input
from align_jax.errors import UserError, shown
from align_jax.evaluation.evaluator import CONTROL_SEED
from align_jax.evaluation.explained_methods import score_of
from align_jax.reporting.explanations_page import MOST_CARDS, Explanations, explanations_page, measured
from align_jax.reporting.output_folder import check_output_folder
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.files import write_atomically
from align_jax.runtime.sharding import data_mesh, place_batch, split_by_example
from align_jax.tables.csv_text import csv_text

# The page's figure is made of these, and so they are always measured.
OF_THE_FIGURE = ("deletion_auc", "insertion_auc")
# What the score reads of a batch.
OF_THE_SCORE = ("image", "label", "mask")

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Images:
    """The images to explain.

    Attributes:
      batches: makes them anew for each run: `image` uint8 [b h w 3], the texts `name` and `domain`, `valid`, and where
        they are known `label`, `mask` uint8 [b h w 1] and the text `cluster`.
      count: how many there are; those that cannot be read are counted, too.
      has_masks: whether every image has a mask.
    """

    batches: Callable[[], Iterable[Batch]]
    count: int
    has_masks: bool


def write_methods_page(
    runs: Mapping[str, TrainedRun],
    settings: ml_collections.ConfigDict,
    images: Images,
    out: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Writes OUT/index.html, methods by images and by metrics, and OUT/values.csv, and returns the page's path.

    Args:
      runs: by the name that each has on the page; see `check_side_by_side`.
      settings: `config.explain`.
      images: what to explain.
      out: the folder to write to.
      say: called with a line for every run.

    Raises:
      UserError: `out` among a run's own files, or no image that can be explained.
    """
    check_output_folder(out, "explanations")
    found: dict[str, Explanations] = {}
    names: list[tuple[str, str]] = []
    cards = _evenly(images.count)
    for name, trained in runs.items():
        say(f"{name}: {', '.join(settings.methods)} of {images.count:,} images")
        names = []
        found[name] = explained(trained, settings, images, cards, names)
    page = explanations_page(found, title=f"{len(names):,} images, explained")
    write_atomically(out / "values.csv", _values(found, names).encode())
    return write_atomically(out / "index.html", page.encode())


def check_side_by_side(runs: Mapping[str, TrainedRun]) -> None:
    """Raises a UserError if two runs cannot explain the same images: other classes, or another size of images."""
    first_name, first = next(iter(runs.items()))
    for name, trained in runs.items():
        for what, own, other in (
            ("classes", list(trained.class_names), list(first.class_names)),
            ("image size", trained.config.data.image_size, first.config.data.image_size),
        ):
            if own != other:
                raise UserError(
                    f"{name} has {what} {shown(own)}, and {first_name} {shown(other)}; runs stand side by side if "
                    "these are the same."
                )


def with_figure(settings: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """`config.explain` with the metrics that the page's figure needs."""
    copy = settings.copy_and_resolve_references()
    copy.metrics = tuple(dict.fromkeys((*settings.metrics, *OF_THE_FIGURE)))
    return copy


def explained(
    trained: TrainedRun,
    settings: ml_collections.ConfigDict,
    images: Images,
    cards: Collection[int],
    names: list[tuple[str, str]],
) -> Explanations:
    """A run's explanations; the name and the domain of each image are added to `names`."""
    score = score_of(
        trained.networks,
        settings,
        with_masks=images.has_masks,
        controls=explanations.CONTROLS,
        learned_mask=True,
    )
    mesh = data_mesh()

    def batches() -> Iterator[Batch]:
        for batch in images.batches():
            rows = [str(name) for name in batch["name"][batch["valid"]]]
            first = np.uint32(len(names))
            names.extend(zip(rows, map(str, batch["domain"][batch["valid"]]), strict=True))
            places = first + np.arange(len(batch["valid"]), dtype=np.uint32)
            changed = {
                name: np.asarray(value)
                for name, value in as_network_input(jax.tree.map(jnp.asarray, _of_score(batch))).items()
            }
            if "mask" in changed:
                changed["mask"] = changed["mask"][..., 0]
            yield {**batch, **changed, "key": jax.vmap(_key)(jnp.asarray(places))}

    def placed(batch: dict[str, Any]) -> dict[str, Any]:
        key = jax.device_put(batch.pop("key"), split_by_example(mesh))
        return {**place_batch(mesh, {name: batch[name] for name in OF_THE_SCORE if name in batch}), "key": key}

    try:
        return measured(score, trained.states, batches(), trained.class_names, cards=cards, placed=placed)
    except ValueError as error:
        if names:
            raise
        raise UserError("None of the images can be read; give others.") from error


def _key(place: jax.Array) -> jax.Array:
    """Of an image's random map; an image's place is the same for all runs."""
    return jax.random.fold_in(jax.random.key(CONTROL_SEED), place)


def _of_score(batch: Batch) -> dict[str, Any]:
    return {name: batch[name] for name in OF_THE_SCORE if name in batch}


def _evenly(images: int) -> set[int]:
    """The places of the images that have a card, spread over all."""
    return {int(place) for place in np.linspace(0, images - 1, min(images, MOST_CARDS)).round()}


def _values(runs: Mapping[str, Explanations], names: Sequence[tuple[str, str]]) -> str:
    """A row for each run, image and method, with every metric; a metric that does not apply is left empty."""
    metrics = list(dict.fromkeys(metric for run in runs.values() for metric in run.metrics))
    rows = [
        [run_name, image, domain, method, *(_number(of_method, metric, place) for metric in metrics)]
        for run_name, run in runs.items()
        for place, (image, domain) in enumerate(names)
        for method, of_method in run.values.items()
    ]
    return csv_text(["run", "image", "domain", "method", *metrics], rows, digits=6)


def _number(of_method: Mapping[str, Any], metric: str, place: int) -> float | None:
    value = float(of_method[metric][place]) if metric in of_method else np.nan
    return None if np.isnan(value) else value
