"""From a score and batches of images to what the page is drawn from: of any model, with or without labels."""

import collections
from collections.abc import Callable, Collection, Iterable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, UInt8

from align_jax import explanations
from align_jax.reporting.explanations_page.data import Curves, ExplainedImage, Explanations, Settings
from align_jax.reporting.method_titles import method_title

# What a batch has for the page alone; the score does not see it.
PAGE_FIELDS = ("name", "domain", "cluster", "place", "valid")
# With more cards their pictures would have to be too small.
MOST_CARDS = 200

Batch = Mapping[str, Any]


def measured(
    score: explanations.Score,
    variables: Any,
    batches: Iterable[Batch],
    class_names: Sequence[str],
    *,
    cards: Collection[int] = range(MOST_CARDS),
    placed: Callable[[dict[str, Any]], dict[str, Any]] = lambda batch: jax.tree.map(jnp.asarray, batch),
) -> Explanations:
    """Runs every method and metric of a score on every image, for `explanations_page`.

    Args:
      score: from `explanations.evaluator`. With deletion_auc among its metrics there are curves of deletion,
        with insertion_auc those of insertion.
      variables: its first argument.
      batches: what it reads, such as `image` [b h w c], `label`, `mask` and `key`. Beside these, and optional, the
        texts `name`, `domain` and `cluster` [b] (which images belong together, such as those of one object), and
        `valid` [b], which is False where a row only fills the batch. What else they have is the caller's.
      class_names: in the order of the model's outputs [b k].
      cards: the places of the images that have a card, counted from 0 over all batches.
      placed: puts the score's part of a batch on devices; by default on the first one.

    Raises:
      ValueError: no image, outputs that are not one number for each class name, or two methods of one title.
    """
    titles = [method_title(method) for method in _methods(score)]
    if len(set(titles)) < len(titles):
        raise ValueError(f"two of the methods have one title on the page ({', '.join(titles)}): rename one of them")
    images: list[ExplainedImage] = []
    clusters: list[str] = []
    count = 0
    columns: dict[tuple[str, str], list[np.ndarray]] = collections.defaultdict(list)
    for batch in batches:
        of_score = {name: value for name, value in batch.items() if name not in PAGE_FIELDS}
        found = score.examined(variables, placed(of_score))
        if found.probabilities.shape[1:] != (len(class_names),):
            raise ValueError(
                f"outputs of shape {list(found.probabilities.shape)} do not fit {len(class_names)} class names: give "
                "as many names as the model has classes"
            )
        on_host = _OnHost(*jax.device_get((found.probabilities, found.maps, found.filled)))
        valid = np.asarray(batch.get("valid", np.ones(len(batch["image"]), bool)))
        clusters += [str(name) for name in np.asarray(batch["cluster"])[valid]] if "cluster" in batch else []
        for method, metric, values in _columns(score, found):
            columns[method, metric].append(np.asarray(values)[valid])
        images += [
            _card(score, batch, on_host, int(row), count + number, class_names)
            for number, row in enumerate(np.flatnonzero(valid))
            if count + number in cards
        ]
        count += int(valid.sum())
    if not count:
        raise ValueError("no image was given: give at least one batch with one")
    return _explanations(score, class_names, images, {of: np.concatenate(all) for of, all in columns.items()}, clusters)


def _methods(score: explanations.Score) -> list[str]:
    """In the order in which they were asked for; a compiled program returns them sorted by name."""
    return [*score.methods, *score.controls]


# The points of a curve stand among the columns under these names.
DELETION, INSERTION = "points of deletion", "points of insertion"


def _columns(score: explanations.Score, found: explanations.Examined) -> Iterable[tuple[str, str, Array]]:
    """Every value and every point of a curve, image by image, with its method and metric."""
    for method, of_method in found.values.items():
        for metric, values in of_method.items():
            yield method, metric, values
        if "deletion_auc" in of_method:
            yield method, DELETION, explanations.deletion_points(found.curves[method], score.settings.steps)
        if "insertion_auc" in of_method:
            yield method, INSERTION, explanations.insertion_points(found.insertion[method], score.settings.steps)


class _OnHost(NamedTuple):
    """What the cards show of `explanations.Examined`."""

    probabilities: Float[np.ndarray, "b k"]
    maps: dict[str, Float[np.ndarray, "b h w"]]
    filled: Float[np.ndarray, "b h w c"]


def _card(
    score: explanations.Score,
    batch: Batch,
    found: "_OnHost",
    row: int,
    place: int,
    class_names: Sequence[str],
) -> ExplainedImage:
    probabilities = found.probabilities[row]
    if callable(score.target):  # then they are the outputs
        probabilities = np.asarray(score.probabilities(jnp.asarray(probabilities)[None]))[0]
    predicted = int(np.argmax(probabilities))
    return ExplainedImage(
        place=place,
        name=str(batch["name"][row]) if "name" in batch else f"image {place}",
        domain=str(batch["domain"][row]) if "domain" in batch else "",
        label=class_names[int(batch["label"][row])] if "label" in batch else None,
        predicted=class_names[predicted],
        probability=float(probabilities[predicted]),
        image=_pixels(score, np.asarray(batch["image"][row])),
        filled=_pixels(score, found.filled[row]),
        # Copies: a view would keep its whole batch.
        maps={method_title(method): found.maps[method][row].copy() for method in _methods(score)},
    )


def _pixels(score: explanations.Score, image: Float[np.ndarray, "h w c"]) -> UInt8[np.ndarray, "h w 3"]:
    """As it was before it was normalised; without a `Preprocessing`, [0, 1] is taken to be black to white."""
    preprocessing = score.settings.preprocessing
    plain = preprocessing.denormalise(jnp.asarray(image)) if preprocessing else image
    pixels = np.rint(np.clip(np.asarray(plain, np.float32), 0, 1) * 255).astype(np.uint8)
    return np.repeat(pixels, 3, axis=-1) if pixels.shape[-1] == 1 else pixels[..., :3]


def _explanations(
    score: explanations.Score,
    class_names: Sequence[str],
    images: Sequence[ExplainedImage],
    columns: Mapping[tuple[str, str], np.ndarray],
    clusters: Sequence[str],
) -> Explanations:
    methods = _methods(score)
    fractions = np.array(explanations.in_steps(score.settings.steps))
    return Explanations(
        settings=_settings(score, class_names),
        images=images,
        values={
            method_title(method): {metric: columns[method, metric].astype(np.float64) for metric in score.metrics}
            for method in methods
        },
        curves={
            method_title(method): Curves(fractions, columns.get((method, DELETION)), columns.get((method, INSERTION)))
            for method in methods
            if not {(method, DELETION), (method, INSERTION)}.isdisjoint(columns)
        },
        higher_is_better=explanations.HIGHER_IS_BETTER,
        controls=tuple(map(method_title, score.controls)),
        random=method_title("random") if "random" in score.controls else None,
        clusters=clusters or None,
    )


def _settings(score: explanations.Score, class_names: Sequence[str]) -> Settings:
    def fill_name(fill: object) -> str:
        return fill if isinstance(fill, str) else str(getattr(fill, "__name__", "given by values"))

    target: Any = score.target
    if not isinstance(target, str):
        one = not callable(target) and np.ndim(target) == 0
        target = class_names[int(target)] if one else getattr(target, "__name__", "given for each image")
    return Settings(
        fill=fill_name(score.settings.fill),
        insertion_fill=fill_name(score.settings.insertion_fill),
        explained_class=str(target),
        steps=score.settings.steps,
    )
