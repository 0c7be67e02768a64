"""A data set as training domains and evaluation splits: what every data set is loaded as."""

import dataclasses
from collections.abc import Callable, Mapping, Sequence
from typing import Any, Literal, Protocol, runtime_checkable

import ml_collections
import numpy as np
from jaxtyping import Int

# "validation" and "id": validation and test of the training domains. "background_shift": test of the training domains
# with objects on random backgrounds. "ood": test of the domains that training never sees.
# "aligned", "neutral", "conflicting": the objects of the training domains' test, each on its class's own background, on
# one that belongs to no class, and on another class's own; "ood_...": the same in the domains that training never sees.
Role = Literal[
    "validation", "id", "background_shift", "ood",
    "aligned", "neutral", "conflicting", "ood_aligned", "ood_neutral", "ood_conflicting",
]  # fmt: skip

# By the role of the plain test of the same domains: the roles "aligned", "neutral" and "conflicting" there.
BACKGROUND_ROLES: Mapping[Role, tuple[Role, Role, Role]] = {
    "id": ("aligned", "neutral", "conflicting"),
    "ood": ("ood_aligned", "ood_neutral", "ood_conflicting"),
}


@runtime_checkable
class Source(Protocol):
    """Random access to examples: dicts with `image` uint8 [h w 3], `label` and `id`.

    They can have more: `mask` uint8 [h w 1], and the texts `concept` (what to cluster errors by), `group` (the
    environment, such as the background's name) and `object` (the same for one object on several backgrounds).
    """

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


@dataclasses.dataclass(frozen=True)
class WithTexts:
    """A source whose examples have further text fields, or others in place of their own: a text for each in order."""

    source: Source
    texts: Mapping[str, Sequence[str]]

    def __len__(self) -> int:
        return len(self.source)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return self.source[index] | {field: texts[index] for field, texts in self.texts.items()}

    def column(self, field: str) -> list[Any]:
        """One field of every example, as the function `column`."""
        return list(self.texts[field]) if field in self.texts else column(self.source, field)


def column(source: Source, field: str) -> list[Any]:
    """One field of every example, in order. A source may have its own `column`, which need not decode pictures."""
    if isinstance(source, Part):
        whole = column(source.source, field)
        return [whole[int(index)] for index in source.indices]
    if hasattr(source, "column"):
        return source.column(field)
    return [source[index][field] for index in range(len(source))]


@dataclasses.dataclass(frozen=True)
class EvaluationSplit:
    """One domain's examples for one purpose."""

    domain: str
    split: str  # "validation", "test" or, where the data set has more tests, their names
    role: Role
    source: Source

    @property
    def only_at_the_end(self) -> bool:
        """Whether it is evaluated only when training is over, and without faithfulness: it would take too long."""
        return any(self.role in roles for roles in BACKGROUND_ROLES.values())


@dataclasses.dataclass(frozen=True)
class DomainData:
    """A loaded data set."""

    name: str
    class_names: Sequence[str]  # in the order of the labels
    train: Mapping[str, Source]  # the training examples of each training domain
    evaluation: Sequence[EvaluationSplit]
    has_masks: bool  # whether examples have true masks
    groups: str = ""  # the hash of which example has which group, where the user says it


def describe_data(config: ml_collections.ConfigDict, data: DomainData) -> dict[str, Any]:
    """The contents of a run's `data.json`, for using its networks without the data, and for noticing other data."""
    examples = {"train": {domain: len(source) for domain, source in data.train.items()}}
    for part in data.evaluation:
        examples.setdefault(part.split, {})[part.domain] = len(part.source)
    return {
        "name": data.name,
        "class_names": list(data.class_names),
        "train_domains": list(data.train),
        "protocol": config.data.protocol,
        "domain": config.data.domain,
        "examples": examples,
        **({"groups": data.groups} if data.groups else {}),
    }
