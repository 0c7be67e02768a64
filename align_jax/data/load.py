"""From a config's `data` to domains and their roles."""

import contextlib
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Literal

import ml_collections
import numpy as np
import tensorflow_datasets as tfds
from jaxtyping import Int

from align_jax.data.datasets import domain_folders, emoji_scenes, terra_incognita, vlcs
from align_jax.data.domains import DomainData, EvaluationSplit, Role
from align_jax.data.images import decode_stored
from align_jax.data.preparing.once import damaged
from align_jax.data.protocols import seeded_domains, training_and_unseen
from align_jax.errors import UserError

# Pictures and their channels.
PICTURES: dict[str, Literal[1, 3]] = {"image": 3, "mask": 1}


class Records:
    """A TFDS split as a `protocols.LabelledSource`: pictures as uint8 [h w c], text as `str`, numbers as they are.

    OpenCV decodes the pictures, since TFDS's own decoder needs TensorFlow for some of them.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        """Opens the split.

        Raises:
          UserError: its files are damaged; so for reading a record.
        """
        self._folder, self._split = Path(builder.data_dir), split
        with self._naming_damage():
            self._records: Any = builder.as_data_source(
                split,
                decoders={name: tfds.decode.SkipDecoding() for name in PICTURES if name in builder.info.features},
            )
            if len(self._records) != builder.info.splits[split].num_examples:
                raise ValueError(f"{len(self._records)} of {builder.info.splits[split].num_examples} records")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with self._naming_damage():
            return {name: _decoded(name, value) for name, value in self._records[int(index)].items()}

    def labels(self) -> Int[np.ndarray, " n"]:
        """Every label; the pictures are read, but not decoded."""
        with self._naming_damage():
            return np.array([int(self._records[index]["label"]) for index in range(len(self))], np.int64)

    def ids(self) -> list[str]:
        """Every id; the pictures are read, but not decoded."""
        with self._naming_damage():
            return [self._records[index]["id"].decode() for index in range(len(self))]

    @contextlib.contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # whatever a damaged file brings about inside array_record and TFDS
            raise damaged(self._folder, f"{self._split}: {error}") from error


def _decoded(name: str, value: Any) -> Any:
    if name in PICTURES:
        return decode_stored(value, PICTURES[name])
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


def load_vlcs(config: ml_collections.ConfigDict) -> DomainData:
    """Prepares VLCS if need be, and splits it by protocol."""
    return _by_protocol(config, "vlcs", vlcs.prepare(Path(config.root), Path(config.prepared), **_policy(config)))


def load_terra_incognita(config: ml_collections.ConfigDict) -> DomainData:
    """Prepares Terra Incognita if need be, and splits it by protocol."""
    builder = terra_incognita.prepare(Path(config.root), Path(config.prepared), **_policy(config))
    return _by_protocol(config, "terra_incognita", builder)


def load_domain_folders(config: ml_collections.ConfigDict) -> DomainData:
    """Prepares the folders DOMAIN/CLASS/IMAGE below ROOT/FOLDER if need be, and splits them by protocol."""
    builder = domain_folders.prepare(Path(config.root), Path(config.prepared), folder=config.folder, **_policy(config))
    return _by_protocol(config, config.folder, builder)


def _policy(config: ml_collections.ConfigDict) -> dict[str, Any]:
    return {"on_bad_image": config.on_bad_image, "most_skipped": config.most_skipped}


def _by_protocol(config: ml_collections.ConfigDict, name: str, builder: tfds.core.DatasetBuilder) -> DomainData:
    return seeded_domains(
        name,
        builder.info.features["label"].names,
        {domain: Records(builder, split) for domain, split in builder.info.metadata["splits"].items()},
        protocol=config.protocol,
        domain=config.domain,
        seed=config.split_seed,
        stratified=config.stratified,
        has_masks="mask" in builder.info.features,
        duplicates=builder.info.metadata.get("duplicates", {}),
    )


DATASETS: dict[str, Callable[[ml_collections.ConfigDict], DomainData]] = {
    "emoji_scenes": load_emoji_scenes,
    "vlcs": load_vlcs,
    "terra_incognita": load_terra_incognita,
    "domain_folders": load_domain_folders,
}


# The domains of data sets that always have the same ones.
DOMAINS: dict[str, tuple[str, ...]] = {
    "emoji_scenes": emoji_scenes.VENDORS,
    "vlcs": vlcs.DOMAINS,
    "terra_incognita": terra_incognita.DOMAINS,
}


def load(config: ml_collections.ConfigDict) -> DomainData:
    """The data set that `config.name` names, prepared under `config.prepared` if it was not yet.

    Raises:
      UserError: the data are missing or broken, or the protocol does not fit them; says what to do.
    """
    return DATASETS[config.name](config)
