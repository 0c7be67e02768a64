"""A data set as training domains and evaluation splits, whatever builder it came from."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import ml_collections
import numpy as np
from jaxtyping import Int

Role = Literal["validation", "id", "background_shift", "ood"]


@runtime_checkable
class Source(Protocol):
    """Random access to examples: dicts with `image` uint8 [h w 3], `label`, `id`, and perhaps `mask` and `concept`."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> dict[str, Any]: ...


@dataclasses.dataclass(frozen=True)
class Part:
    """Some examples of a source."""

    source: Source
    indices: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.indices)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[int(self.indices[index])]


@dataclasses.dataclass(frozen=True)
class Changed:
    """A source whose examples are changed as they are read."""

    source: Source
    change: Callable[[dict[str, Any]], dict[str, Any]]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.change(self.source[index])


def column(source: Source, field: str) -> list[Any]:
    """One field of every example, in order; no picture is decoded where the source has a `column` of its own."""
    if isinstance(source, Part):
        whole = column(source.source, field)
        return [whole[int(index)] for index in source.indices]
    if hasattr(source, "column"):
        return source.column(field)
    return [source[index][field] for index in range(len(source))]


@dataclasses.dataclass(frozen=True)
class EvaluationSplit:
    """One domain's examples for one purpose.

    Attributes:
      domain: the domain's name.
      split: "validation", "test" or, where the data set has it, "test_random".
      role: "validation" (training domains, selects the checkpoint), "id" (training domains, test), "background_shift"
        (training domains, test objects on random backgrounds) or "ood" (held-out domains).
      source: the examples.
    """

    domain: str
    split: str
    role: Role
    source: Source


@dataclasses.dataclass(frozen=True)
class DomainData:
    """What training and evaluation read.

    Attributes:
      name: the data set's name.
      class_names: in the order of the labels.
      train: the training examples of each training domain.
      evaluation: every split that is evaluated.
      has_masks: whether examples carry true masks.
    """

    name: str
    class_names: Sequence[str]
    train: Mapping[str, Source]
    evaluation: Sequence[EvaluationSplit]
    has_masks: bool


def describe_data(config: ml_collections.ConfigDict, data: DomainData) -> dict[str, Any]:
    """What a run's `data.json` says: enough to use the trained networks without the data, and to tell other data apart.

    Args:
      config: the whole run's.
      data: what it loaded.
    """
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "train_domains": list(data.train),
        "protocol": config.data.protocol,
        "domain": config.data.domain,
        "examples": {
            "train": {domain: len(source) for domain, source in data.train.items()},
            **{
                split: {part.domain: len(part.source) for part in data.evaluation if part.split == split}
                for split in dict.fromkeys(part.split for part in data.evaluation)
            },
        },
    }
