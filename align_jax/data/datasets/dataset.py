"""What the library knows of a data set: each folder beside this file defines a `DATASET`."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

import ml_collections
import tensorflow_datasets as tfds

from align_jax.data.background_tests import background_tests, same_objects
from align_jax.data.domains import DomainData
from align_jax.data.given_groups import with_groups
from align_jax.data.protocols import split_by_protocol
from align_jax.data.records import Records


@dataclasses.dataclass(frozen=True)
class Dataset:
    """A data set's entry in `align_jax.data.load.DATASETS`. Only `load` and `title` are needed.

    Attributes:
      load: loads the domains and their roles, given a config's `data`.
      title: its name in tables and on pages.
      domains, classes: their names, where these are always the same; empty where the user's folders decide.
      published_examples: how many images each domain has in the copy that published results use.
      prepare: prepares the data set, given a config's `data`, and returns a builder that reads it; None where nothing
        has to be prepared.
      reads: the fields of `config.data` that `prepare` reads and `launch/prepare.py` has a flag for.
      check: refuses settings in a config's `data` that cannot be right, without reading any data; or None.
      own_splits: whether it is split already. A protocol then only gives each domain its role.
      domains_called, examples_called: the words for its domains and its examples on pages.
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
      reads: the arguments of `prepare` besides `prepared`; `config.data` has fields with these names.
      **known: the other attributes of the entry.
    """

    def from_config(config: ml_collections.ConfigDict) -> tfds.core.DatasetBuilder:
        return prepare(**{name: config[name] for name in ("prepared", *reads)})

    def load(config: ml_collections.ConfigDict) -> DomainData:
        builder = from_config(config)
        info, root = builder.info, Path(config.root)
        records = {domain: Records(builder, split) for domain, split in info.metadata["splits"].items()}
        sources, groups = with_groups(
            config.group,
            records,
            # Where the images lie now, and where they lay when they were prepared.
            (root / config.folder, root, Path(info.metadata["source"])),
            (*info.metadata["skipped"], *info.metadata.get("dropped", ())),
        )
        together: Mapping[str, Sequence[Sequence[int]]] = info.metadata.get("duplicates") or {}
        named = "object" in next(iter(sources.values()))[0]
        if named:
            together = {
                domain: [*same_objects(source), *together.get(domain, ())] for domain, source in sources.items()
            }
        data = split_by_protocol(
            config,
            config.folder if "folder" in reads else config.name,
            info.features["label"].names,
            sources,
            has_masks="mask" in info.features,
            duplicates=together,
        )
        tests = background_tests(data) if named else []
        return dataclasses.replace(data, groups=groups, evaluation=[*data.evaluation, *tests])

    return Dataset(load=load, prepare=from_config, reads=reads, **known)
