"""Whether data are those that a run was trained on, and their labels as the run counts them."""

import dataclasses
from collections.abc import Sequence
from typing import Any

import ml_collections
import numpy as np

from align_jax.data.domains import Changed, DomainData, EvaluationSplit, describe_data
from align_jax.errors import UserError, listed
from align_jax.runs.trained import TrainedRun

# The fields that decide which examples of a domain belong to which split; `domain` is handled separately.
SPLIT_FIELDS = ("protocol", "split_seed", "stratified", "correlation", "fold", "class_set")


def is_own_data(trained: TrainedRun, config: ml_collections.ConfigDict, data: DomainData) -> bool:
    """Whether this is the data set that the run was trained on, wherever it lies now."""
    before, now = trained.config.data, config.data
    return before.name == now.name and before.folder == now.folder and trained.data.name == data.name


def splits_as_in_training(trained: TrainedRun, config: ml_collections.ConfigDict, data: DomainData) -> bool:
    """Whether its domains are split as for training; if not, a test split may hold training images."""
    before, now = trained.config.data, config.data
    if any(before[field] != now[field] for field in SPLIT_FIELDS):
        return False
    # Splits are drawn from all images of a domain: if the number of images has changed, the splits have too.
    return all(
        trained.data.examples.get((domain, split), count) == count
        for split, of_split in describe_data(config, data)["examples"].items()
        for domain, count in of_split.items()
    )


def with_labels_of_the_run(trained: TrainedRun, data: DomainData) -> Sequence[EvaluationSplit]:
    """The splits, their labels matched to the run's by the names of the classes. Some of the classes may be absent."""
    known = {name: number for number, name in enumerate(trained.class_names)}
    unknown = [name for name in data.class_names if name not in known]
    if unknown:
        raise UserError(
            f"{data.name} has classes that {trained.folder} was not trained on ({listed(unknown)}): the run knows "
            f"{len(known)} ({listed(trained.class_names)}); rename or remove the folders of the others, or give a data "
            "set with only these classes."
        )
    if tuple(data.class_names) == tuple(trained.class_names):
        return data.evaluation
    numbers = [np.int64(known[name]) for name in data.class_names]

    def renumbered(example: dict[str, Any]) -> dict[str, Any]:
        return example | {"label": numbers[int(example["label"])]}

    return [dataclasses.replace(split, source=Changed(split.source, renumbered)) for split in data.evaluation]
