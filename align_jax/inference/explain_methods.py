"""Explains images with several methods, scores the maps, and writes the page and the numbers.

The images are the run's own tests, or a user's. Runs that stand side by side explain the same images.
"""

import dataclasses
import os
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
from align_jax.evaluation.explained_methods import control_keys, score_of
from align_jax.inference.data_of_a_run import SPLIT_FIELDS
from align_jax.reporting.explain_page import Skipped
from align_jax.reporting.explanations_page import MOST_CARDS, Explanations, explanations_page, measured
from align_jax.reporting.output_folder import check_output_folder
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.files import real, write_atomically
from align_jax.runtime.sharding import data_mesh, place_batch, split_by_example
from align_jax.tables.csv_text import csv_text

# The page's figure is made of these, and so they are always measured.
FIGURE_METRICS = ("deletion_auc", "insertion_auc")
# What the score reads of a batch.
SCORE_FIELDS = ("image", "label", "mask")

Batch = Mapping[str, Any]


@dataclasses.dataclass(frozen=True)
class Images:
    """The images to explain.

    Attributes:
      batches: makes them anew for each run: `image` uint8 [b h w 3], the texts `name` and `domain`, `place` (an image's
        number in its test), `valid`, and where they are known `label`, `mask` uint8 [b h w 1] and the text `cluster`.
      count: how many there are; those that cannot be read are counted, too.
      has_masks: whether every image has a mask.
      skipped: those that cannot be read; known when all batches have been made.
    """

    batches: Callable[[], Iterable[Batch]]
    count: int
    has_masks: bool
    skipped: Sequence[Skipped] = ()


def write_methods_page(
    runs: Mapping[str, TrainedRun],
    settings: ml_collections.ConfigDict,
    images: Images,
    out: Path,
    say: Callable[[str], None] = lambda text: None,
) -> Path:
    """Writes OUT/index.html, methods by images and by metrics, and OUT/values.csv, and returns the page's path.

    Args:
      runs: by the name that each has on the page (`run_names`); see `check_side_by_side`.
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
    title = f"{len(names):,} image{'s' * (len(names) != 1)}, explained"
    page = explanations_page(found, title=title, skipped=images.skipped)
    write_atomically(out / "values.csv", _values(found, names).encode())
    return write_atomically(out / "index.html", page.encode())


def check_side_by_side(runs: Sequence[TrainedRun], *, on_tests: bool) -> None:
    """Refuses runs that cannot explain the same images.

    Args:
      runs: the first, and those beside it.
      on_tests: whether the images are the first run's tests, which no run may have been trained on.

    Raises:
      UserError: a run that is given twice; other classes or another size of images; or tests that were training images.
    """
    first = runs[0]
    for number, trained in enumerate(runs):
        if any(real(trained.folder) == real(other.folder) for other in runs[:number]):
            raise UserError(f"The run {trained.folder} is given twice; give other runs to compare with.")
        for what, own, other in _must_agree(trained, first, on_tests):
            if own != other:
                raise UserError(
                    f"{trained.folder} has {what} {shown(own)}, and {first.folder} {shown(other)}; give runs in which "
                    f"these are the same{', or images of your own' if on_tests else ''}."
                )


def _must_agree(run: TrainedRun, first: TrainedRun, on_tests: bool) -> Iterator[tuple[str, object, object]]:
    yield "the classes", list(run.class_names), list(first.class_names)
    yield "the image size", run.config.data.image_size, first.config.data.image_size
    if on_tests:
        yield "the data set", run.data.name, first.data.name
        yield "the training domains", list(run.train_domains), list(first.train_domains)
        for field in SPLIT_FIELDS:
            if field != "correlation":  # which decides the backgrounds, and not who is tested
                yield f"config.data.{field}", run.config.data[field], first.config.data[field]


def run_names(folders: Sequence[Path]) -> list[str]:
    """What the runs are called on a page: their folders, without the part that all have in common.

    A run alone is called by its folder and the one above it, such as quickstart/align: pages are passed on, and where
    the run lies on one machine says nothing on another.
    """
    resolved = [real(folder) for folder in folders]
    if len(resolved) == 1:
        return [os.path.join(*resolved[0].parts[1:][-2:])]
    common = os.path.commonpath(resolved)
    if Path(common) in resolved:  # a run inside another, which has a name, too
        common = os.path.dirname(common)
    return [os.path.relpath(folder, common) for folder in resolved]


def with_figure(settings: ml_collections.ConfigDict) -> ml_collections.ConfigDict:
    """`config.explain` with the metrics that the page's figure needs."""
    copy = settings.copy_and_resolve_references()
    copy.metrics = tuple(dict.fromkeys((*settings.metrics, *FIGURE_METRICS)))
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
            names.extend(zip(rows, map(str, batch["domain"][batch["valid"]]), strict=True))
            changed = {
                name: np.asarray(value)
                for name, value in as_network_input(jax.tree.map(jnp.asarray, _of_score(batch))).items()
            }
            if "mask" in changed:
                changed["mask"] = changed["mask"][..., 0]
            yield {**batch, **changed, "key": control_keys(jnp.asarray(batch["place"]))}

    def placed(batch: dict[str, Any]) -> dict[str, Any]:
        key = jax.device_put(batch.pop("key"), split_by_example(mesh))
        return {**place_batch(mesh, {name: batch[name] for name in SCORE_FIELDS if name in batch}), "key": key}

    return measured(score, trained.states, batches(), trained.class_names, cards=cards, placed=placed)


def _of_score(batch: Batch) -> dict[str, Any]:
    return {name: batch[name] for name in SCORE_FIELDS if name in batch}


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
