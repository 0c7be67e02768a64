"""From a config's `data` to domains and their roles."""

import io
from collections.abc import Callable
from typing import Any

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from PIL import Image

from align_jax.data.datasets import emoji_scenes
from align_jax.data.domains import DomainData, EvaluationSplit, Role
from align_jax.data.protocols import training_and_unseen
from align_jax.errors import UserError

PICTURES = ("image", "mask")


class Records:
    """A TFDS split as a `domains.Source`: pictures as uint8 [h w c], text as `str`, numbers as they are stored.

    Pillow decodes the pictures: TFDS's own decoder is slower, and warns where OpenCV is not installed.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        self._records: Any = builder.as_data_source(
            split, decoders={name: tfds.decode.SkipDecoding() for name in PICTURES if name in builder.info.features}
        )

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {name: _decoded(name, value) for name, value in self._records[int(index)].items()}


def _decoded(name: str, value: Any) -> Any:
    if name in PICTURES:
        pixels = np.asarray(Image.open(io.BytesIO(value)))
        return pixels if pixels.ndim == 3 else pixels[..., None]
    return value.decode() if isinstance(value, bytes) else value


def load_emoji_scenes(config: ml_collections.ConfigDict) -> DomainData:
    """Prepares emoji_scenes if need be; unseen vendors' test objects stand on random backgrounds.

    Raises:
      UserError: a value for which there is no such data set, or a domain that does not exist.
    """
    try:
        builder = emoji_scenes.prepare(
            config.prepared, config.correlation, config.fold, config.class_set, config.image_size
        )
    except ValueError as error:
        raise UserError(str(error)) from error
    names = builder.info.features["domain"].names
    training, unseen = training_and_unseen(names, config.protocol, config.domain)

    def records(domain: str, split: str) -> Records:
        return Records(builder, f"{domain}_{split}")

    roles: tuple[tuple[str, Role], ...] = (
        ("validation", "validation"),
        ("test", "id"),
        ("test_random", "background_shift"),
    )
    evaluation = [
        EvaluationSplit(domain, split, role, records(domain, split)) for domain in training for split, role in roles
    ]
    evaluation += [EvaluationSplit(domain, "test_random", "ood", records(domain, "test_random")) for domain in unseen]
    return DomainData(
        name="emoji_scenes",
        class_names=tuple(builder.info.features["label"].names),
        train={domain: records(domain, "train") for domain in training},
        evaluation=evaluation,
        has_masks=True,
    )


DATASETS: dict[str, Callable[[ml_collections.ConfigDict], DomainData]] = {"emoji_scenes": load_emoji_scenes}


def load(config: ml_collections.ConfigDict) -> DomainData:
    """The data set that `config.name` names, prepared under `config.root` if it was not yet."""
    return DATASETS[config.name](config)
