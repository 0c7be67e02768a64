"""Which images `explain_methods` explains: a run's own tests, or images of the user's."""

import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np

from align_jax.data.augment import resample
from align_jax.data.domains import EvaluationSplit
from align_jax.data.load import load
from align_jax.data.mask_folder import mask_files, read_mask
from align_jax.data.pipeline import evaluation_batches, padded_batch
from align_jax.data.splits import seeded_subset
from align_jax.errors import UserError, listed, shown
from align_jax.evaluation.explained_methods import CONTROL_SEED
from align_jax.inference.data_of_a_run import splits_as_in_training, with_labels_of_the_run
from align_jax.inference.explain_methods import Batch, Images
from align_jax.inference.find_images import Found, find_images
from align_jax.inference.read_images import Readable, none_readable, readable_images
from align_jax.reporting import names
from align_jax.reporting.explain_page import Skipped
from align_jax.runs.trained import TrainedRun
from align_jax.runtime.sharding import data_mesh, shared_evenly

# A program of many methods holds its batch many times over.
BATCH = 16
Say = Callable[[str], None]


def images_of_tests(trained: TrainedRun, most: int, say: Say = lambda text: None) -> Images:
    """The images of the run's plain tests, at most `most` of each: those whose explanations its summary scores.

    Args:
      trained: the run.
      most: images of each test.
      say: called with a line if the data have changed since the run was trained.

    Raises:
      UserError: the data set is not where the run found it, or has classes that the run does not know.
    """
    config = trained.config
    data = load(config.data)
    if not splits_as_in_training(trained, config, data):
        say("note: the data are not as they were when the run was trained; it may have seen some of these images.")
    splits = [split for split in with_labels_of_the_run(trained, data) if _is_explained(split)]
    chosen = [(split, seeded_subset(len(split.source), most, CONTROL_SEED)) for split in splits]
    batch_size = shared_evenly(data_mesh(), min(BATCH, max(len(indices) for _, indices in chosen)))

    def batches() -> Iterator[Batch]:
        for split, indices in chosen:
            of_split = evaluation_batches(
                split.source,
                size=config.data.image_size,
                batch_size=batch_size,
                threads=config.data.threads,
                indices=indices,
            )
            for number, batch in enumerate(of_split):
                yield {**_with_texts(batch, split), "place": number * batch_size + np.arange(batch_size)}

    return Images(batches, sum(len(indices) for _, indices in chosen), data.has_masks)


def own_images(
    trained: TrainedRun,
    paths: Sequence[Path],
    out: Path,
    *,
    masks: Path | None = None,
    labels: bool = False,
    say: Say = lambda text: None,
) -> Images:
    """A user's images; those that cannot be read are skipped.

    Args:
      trained: the run.
      paths: images, and folders, which are searched to any depth.
      out: the output folder.
      masks: a folder with the mask of FOLDER/a/b.jpg at a/b.png, and that of a single image b.jpg at b.png.
      labels: whether the name of an image's folder is its class.
      say: called with a line for every image that cannot be read, and for folders in which other files are, too.

    Raises:
      UserError: a path that does not exist, no image, a mask that is missing, cannot be read or has another size than
        its image, or a folder that is not named as a class.
    """
    found = find_images(paths, out, say)
    mask_of = _masks(masks, found) if masks is not None else None
    label_of = _labels(found, trained.class_names) if labels else None
    skipped: list[Skipped] = []
    size = trained.config.data.image_size
    batch_size = shared_evenly(data_mesh(), min(BATCH, len(found)))
    if mask_of is not None:
        _check_masks(found, mask_of)

    def batches() -> Iterator[Batch]:
        again = bool(skipped)  # another run, which needs not say it again
        skipped.clear()
        readable = readable_images(found, size, skipped, (lambda text: None) if again else say)
        for number in itertools.count():
            rows = [_row(image, size, mask_of, label_of) for image in itertools.islice(readable, batch_size)]
            if rows:
                yield {**padded_batch(rows, batch_size), "place": number * batch_size + np.arange(batch_size)}
            if len(rows) < batch_size:
                break
        if len(skipped) == len(found):
            raise none_readable(skipped)

    return Images(batches, len(found), mask_of is not None, skipped)


def _is_explained(split: EvaluationSplit) -> bool:
    """Whether the run's summary scores explanations of this split."""
    return split.role != "validation" and not split.only_at_the_end


def _with_texts(batch: Batch, split: EvaluationSplit) -> Batch:
    """A test's batch with the texts of the page: an image's id, where it is from, and the object that it shows."""
    of = f"{split.domain}, {names.role_title(split.role).lower()}"
    texts = {"name": batch["id"], "domain": np.full(len(batch["id"]), of)}
    return {**batch, **texts, **({"cluster": batch["concept"]} if "concept" in batch else {})}


def _masks(folder: Path, found: Sequence[Found]) -> dict[Path, Path]:
    if not folder.is_dir():
        raise UserError(f"--masks {folder} is not a folder; give one with the mask of each image.")
    inside = [str(image.inside) for image in found]
    if len(set(inside)) < len(inside):
        twice = next(name for name in inside if inside.count(name) > 1)
        raise UserError(f"Two of the images are called {twice}, and have one mask; give the folder above both instead.")
    files = mask_files(folder, inside, "images")
    return {image.path: files[str(image.inside)] for image in found}


def _check_masks(found: Sequence[Found], mask_of: Mapping[Path, Path]) -> None:
    """Reads every mask once: explaining takes far longer, and must not end at the last image's mask."""
    smallest = 1  # of the images only the shape is asked for
    for image in readable_images(found, smallest, [], lambda text: None):
        read_mask(mask_of[image.found.path], *image.shape)


def _labels(found: Sequence[Found], class_names: Sequence[str]) -> dict[Path, int]:
    folders = {image.path: image.path.absolute().parent.name for image in found}
    unknown = sorted(set(folders.values()) - set(class_names))
    if unknown:
        raise UserError(
            f"--labels=folders: {listed(unknown)} are not classes of the run, which are {shown(list(class_names))}; "
            "give CLASS/IMAGE, or leave the flag out."
        )
    return {path: class_names.index(name) for path, name in folders.items()}


def _row(
    image: Readable, size: int, mask_of: dict[Path, Path] | None, label_of: dict[Path, int] | None
) -> dict[str, Any]:
    found = image.found
    folder = str(found.name.parent)
    row: dict[str, Any] = {"image": image.seen, "name": str(found.name), "domain": folder if folder != "." else ""}
    if mask_of is not None:
        row["mask"] = resample(read_mask(mask_of[found.path], *image.shape), size)
    if label_of is not None:
        row["label"] = np.int64(label_of[found.path])
    return row
