"""All that a data set is known by, in one place: each folder beside this file ends in a `DATASET` of its own."""

import dataclasses
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import ml_collections
import tensorflow_datasets as tfds

from align_jax.data.domains import DomainData
from align_jax.data.protocols import split_by_protocol
from align_jax.data.records import Records


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set's entry in `align_jax.data.load.DATASETS`. Only `load` and `title` are needed.

    Attributes:
      load: from a config's `data` to domains and their roles.
      title: what tables and pages call it.
      domains, classes: their names where they are always the same; empty where the user's folders decide.
      published_examples: images of each domain in the copy that published results use.
      prepare: for `launch/prepare.py`, from a config's `data` to what reads the prepared data set; None where nothing
        has to be prepared.
      reads: of `config.data`, what `prepare` reads beside `prepared` that `launch/prepare.py` has a flag for.
      check: refuses what `config.data` cannot say of this data set, without looking at any data; or None.
      own_splits: whether it is split already; a protocol then says only which domains play which role.
      domains_called, examples_called: what pages call its domains and its examples.
      citation: a BibTeX file.
    """

    load: Callable[[ml_collections.ConfigDict], DomainData]
    title: str
    domains: tuple[str, ...] = ()
    classes: tuple[str, ...] = ()
    published_examples: Mapping[str, int] = dataclasses.field(default_factory=dict)
    prepare: Callable[[ml_collections.ConfigDict], tfds.core.DatasetBuilder] | None = None
    reads: tuple[str, ...] = ()
    check: Callable[[ml_collections.ConfigDict], object] | None = None
    own_splits: bool = False
    domains_called: str = "domains"
    examples_called: str = "examples"
    citation: Path | None = None


def image_dataset(prepare: Callable[..., tfds.core.DatasetBuilder], reads: tuple[str, ...], **known: Any) -> Dataset:
    """The entry of a data set of images in folders, which a protocol splits.

    Args:
      prepare: the data set's own function.
      reads: the arguments of `prepare` beside `prepared`; `config.data` has them by the same names.
      **known: the other attributes of the entry.
    """

    def from_config(config: ml_collections.ConfigDict) -> tfds.core.DatasetBuilder:
        return prepare(**{name: config[name] for name in ("prepared", *reads)})

    def load(config: ml_collections.ConfigDict) -> DomainData:
        name = config.folder if "folder" in reads else config.name
        builder = from_config(config)
        info = builder.info
        sources = {domain: Records(builder, split) for domain, split in info.metadata["splits"].items()}
        return split_by_protocol(
            config,
            name,
            info.features["label"].names,
            sources,
            has_masks="mask" in info.features,
            duplicates=info.metadata.get("duplicates"),
        )

    return Dataset(load=load, prepare=from_config, reads=reads, **known)
