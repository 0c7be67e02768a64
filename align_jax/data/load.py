"""From a config's `data` to domains and their roles."""

from collections.abc import Callable
from typing import Any

import ml_collections

from align_jax.data.datasets import emoji_scenes
from align_jax.data.domains import DomainData, EvaluationSplit
from align_jax.errors import UserError


class Records:
    """A TFDS data source as a `domains.Source`: text comes as `str`, everything else as it is stored."""

    def __init__(self, records: Any) -> None:
        self._records = records

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        example = self._records[int(index)]
        return {name: value.decode() if isinstance(value, bytes) else value for name, value in example.items()}


def load_emoji_scenes(config: ml_collections.ConfigDict) -> DomainData:
    """Prepares emoji_scenes if need be; the held-out vendors' test objects stand on random backgrounds.

    Raises:
      UserError: a value for which there is no such data set, or a held-out domain that does not exist.
    """
    try:
        builder = emoji_scenes.prepare(
            config.root, config.correlation, config.fold, config.class_set, config.image_size
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    names = builder.info.features["domain"].names
    training, held_out = training_and_held_out(names, config.held_out)

    def records(domain: str, split: str) -> Records:
        return Records(builder.as_data_source(f"{domain}_{split}"))

    roles = (("validation", "validation"), ("test", "id"), ("test_random", "background_shift"))
    evaluation = [
        EvaluationSplit(domain, split, role, records(domain, split)) for domain in training for split, role in roles
    ]
    evaluation += [EvaluationSplit(domain, "test_random", "ood", records(domain, "test_random")) for domain in held_out]
    return DomainData(
        name="emoji_scenes",
        class_names=tuple(builder.info.features["label"].names),
        domain_names=tuple(names),
        train={domain: records(domain, "train") for domain in training},
        evaluation=evaluation,
        has_masks=True,
    )


DATASETS: dict[str, Callable[[ml_collections.ConfigDict], DomainData]] = {"emoji_scenes": load_emoji_scenes}


def training_and_held_out(names: list[str], held_out: tuple[str, ...]) -> tuple[list[str], list[str]]:
    """The training domains and the held-out ones, both in the data set's order.

    Raises:
      UserError: a name that is no domain, or nothing left to train on.
    """
    for name in held_out:
        if name not in names:
            raise UserError(f"config.data.held_out names {name!r}; the domains are {', '.join(names)}.")
    training = [name for name in names if name not in held_out]
    if not training:
        raise UserError(f"config.data.held_out names every domain ({', '.join(names)}); leave one to train on.")
    return training, [name for name in names if name in held_out]


def load(config: ml_collections.ConfigDict) -> DomainData:
    """The data set that `config.name` names, prepared under `config.root` if it was not yet."""
    return DATASETS[config.name](config)
