"""The one reader of a run's folder; its log is read by `read_metrics`, its arrays by `read_arrays`.

The folder may come from anywhere: its JSON is read as `untrusted_json` reads. Reports and tables, evaluation and
experiments all read here, and each reads no more than it needs.
"""

import json
import pathlib
import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any, NamedTuple

from align_jax.data.protocols import PROTOCOLS
from align_jax.moved_settings import with_new_names
from align_jax.runs.read_groups import ABOUT_GROUPS, Group, read_groups, read_worst_group
from align_jax.runs.untrusted_json import (
    Fields,
    printable,
    read_object,
    short,
)
from align_jax.tables.table import shortened

SHARES = (
    *("accuracy", "balanced_accuracy", "worst_group_accuracy", "auc", "mask_iou", "cam_energy", "flips"),
    *("insertion_auc", "deletion_auc", "average_drop", "increase", "adcc", "gini"),
    *("energy_inside", "pointing_game", "rank_accuracy", "roc_auc", "average_precision"),
)
"""Metrics in [0, 1]; other numbers of a result need only be finite."""

GAPS = ("gap", "gap_standard_error", "flips", "flips_standard_error")
"""What `background_gaps` measures of a domain."""

ABOUT_A_RESULT = (
    *("domain", "role", "split", "examples", "faithfulness_images", "per_class_accuracy", "further_methods"),
    *ABOUT_GROUPS,
)
"""What a result says beside its measurements, and those of further methods of explanation."""


@dataclass(frozen=True)
class Result:
    """One test of a run.

    Attributes:
      examples: how many images were tested.
      values: finite ones; a metric that does not apply is absent.
      faithfulness_images: on how many of the images faithfulness was measured.
      groups, worst_group: pairs of class and environment, if the data set has environments.
      further_methods: the metrics of explanations by other methods than the first, whose are among `values`.
      not_finite: metrics, or `per_class_accuracy/CLASS`, whose value is NaN or infinite.
    """

    domain: str
    role: str
    split: str
    examples: int | None
    values: Mapping[str, float]
    per_class_accuracy: Mapping[str, float]
    faithfulness_images: int | None = None
    further_methods: Mapping[str, Mapping[str, float]] = field(default_factory=dict)
    not_finite: tuple[str, ...] = ()
    groups: tuple[Group, ...] = ()
    worst_group: Group | None = None


class Weights(NamedTuple):
    """What the classifier began with."""

    source: str
    sha256: str


class Data(NamedTuple):
    """What a run was trained on; names are as the data set has them.

    Attributes:
      examples: how many there are, by domain and split; empty where an earlier version did not say.
    """

    name: str
    class_names: tuple[str, ...]
    train_domains: tuple[str, ...]
    examples: Mapping[tuple[str, str], int]


@dataclass(frozen=True)
class Run:
    """A complete run.

    Attributes:
      protocol, domain: empty in a run of the first version, which knew no protocols.
      config: flat (`optim.lr`), its values as JSON writes them.
      weights: None where it began with none, or does not say with which.
      timing: seconds and rates; finite ones.
      examples: how many there are, as far as its data.json says it, by domain and split.
    """

    path: pathlib.Path
    algorithm: str
    guidance: str
    dataset: str
    protocol: str
    domain: str
    seed: int
    step: int | None
    best_step: int | None
    selection: str
    validation_accuracy: float | None
    train_domains: tuple[str, ...]
    held_out_domains: tuple[str, ...]
    class_names: tuple[str, ...]
    results: tuple[Result, ...]
    config: Mapping[str, str]
    weights: Weights | None = None
    validation_is_not_finite: bool = False
    timing: Mapping[str, float] = field(default_factory=dict)
    examples: Mapping[tuple[str, str], int] = field(default_factory=dict)


def read_run(folder: pathlib.Path) -> Run:
    """Reads a run's summary.json and config.json, and its data.json where it has one.

    Raises:
      BrokenFile: one of them is missing, broken or foreign.
    """
    summary = read_object(folder / "summary.json")
    validation_accuracy = summary.number("validation_accuracy", share=True)
    results = _with_gaps(summary, [_result(Fields(row, summary.path)) for row in summary.items("results", dict)])
    protocol = summary.optional_text("protocol")
    if protocol and protocol not in PROTOCOLS:
        raise summary.broken(f"has the protocol {short(protocol)}, which is not one of {', '.join(PROTOCOLS)}")
    config, timing = read_object(folder / "config.json"), summary.object("timing")
    return Run(
        path=folder,
        algorithm=summary.text("algorithm"),
        guidance=summary.text("guidance"),
        dataset=summary.text("dataset"),
        protocol=protocol,
        domain=summary.text("domain") if protocol else "",
        seed=summary.required("seed", int),
        step=summary.optional("step", int),
        best_step=summary.optional("best_step", int),
        selection=summary.text("selection"),
        validation_accuracy=validation_accuracy,
        validation_is_not_finite=validation_accuracy is None and summary.content.get("validation_accuracy") is not None,
        train_domains=tuple(map(printable, summary.names("train_domains"))),
        held_out_domains=tuple(map(printable, summary.items("held_out_domains", str))),
        class_names=tuple(map(printable, summary.names("class_names"))),
        results=results,
        config={printable(name): setting_text(value) for name, value in flat(with_new_names(config.content)).items()},
        weights=_weights(summary),
        timing=timing.numbers(timing.content, lambda key: False)[0],
        examples={
            (printable(domain), printable(split)): n for (domain, split), n in read_data(folder).examples.items()
        },
    )


def read_data(folder: pathlib.Path) -> Data:
    """What a run was trained on: as its data.json says, or in a run of an earlier version its summary.json.

    Raises:
      BrokenFile: neither says it.
    """
    path, name = folder / "data.json", "name"
    if not path.exists() and (folder / "summary.json").exists():
        path, name = folder / "summary.json", "dataset"
    data = read_object(path)
    splits = data.object("examples")
    return Data(
        name=data.required(name, str),
        class_names=data.names("class_names"),
        train_domains=data.names("train_domains"),
        examples={
            (domain, split): splits.object(split).required(domain, int)
            for split in splits.content
            for domain in splits.required(split, dict)
        },
    )


def flat(nested: Mapping[str, Any]) -> dict[str, Any]:
    """`{"optim": {"lr": 1e-3}}` as `{"optim.lr": 1e-3}`, sorted by name. An empty group is a value."""
    values: dict[str, Any] = {}
    todo: list[tuple[str, Any]] = list(nested.items())
    while todo:
        name, value = todo.pop()
        if isinstance(value, dict) and value:
            todo += [(f"{name}.{part}", inner) for part, inner in value.items()]
        else:
            values[name] = value
    return dict(sorted(values.items()))


def setting_text(value: Any) -> str:
    """A setting as a table shows it: JSON without the quotes of a plain string."""
    if isinstance(value, str) and value and value == value.strip():
        return printable(value)
    try:
        return printable(json.dumps(value, ensure_ascii=False))
    except RecursionError:
        return "(nested too deeply)"


def _result(fields: Fields) -> Result:
    measured = [key for key in fields.content if key not in ABOUT_A_RESULT]
    values, not_finite = fields.numbers(measured, lambda key: key.removeprefix("random_") in SHARES)
    classes = fields.object("per_class_accuracy")
    by_class, no_class = classes.numbers(classes.content, lambda name: True)
    further = fields.object("further_methods")
    by_method = {
        printable(name): further.object(name).numbers(further.object(name).content, SHARES.__contains__)
        for name in further.content
    }
    not_finite += tuple(f"{method}/{metric}" for method, (_, others) in by_method.items() for metric in others)
    split = fields.optional_text("split")
    return Result(
        domain=fields.text("domain"),
        role="validation" if split == "validation" else fields.text("role"),
        split=split,
        examples=fields.optional("examples", int),
        faithfulness_images=fields.optional("faithfulness_images", int),
        values=values,
        per_class_accuracy=by_class,
        further_methods={method: finite for method, (finite, _) in by_method.items()},
        not_finite=(*not_finite, *(f"per_class_accuracy/{name}" for name in no_class)),
        groups=read_groups(fields),
        worst_group=read_worst_group(fields),
    )


def _with_gaps(summary: Fields, results: Sequence[Result]) -> tuple[Result, ...]:
    """The results, with the gap and the flips of `background_gaps` among the values of their domain's plain test.

    A run of an earlier version, and of a data set without such tests, has none.
    """
    tests = {(result.domain, result.role): result for result in results}
    if len(tests) < len(results):
        raise summary.broken("has two results of one domain and role")
    for row in summary.items("background_gaps", dict) if "background_gaps" in summary.content else ():
        fields = Fields(row, summary.path)
        test = fields.text("domain"), fields.text("role")
        if test not in tests or "gap" in tests[test].values:
            raise summary.broken(f"has a gap of {shortened(test[0])} ({shortened(test[1])}), but not one such result")
        finite, _ = fields.numbers([key for key in GAPS if key in row], lambda key: key in SHARES)
        tests[test] = replace(tests[test], values={**tests[test].values, **finite})
    return tuple(tests.values())


def _weights(summary: Fields) -> Weights | None:
    weights = summary.object("pretrained")
    if not weights.content:
        return None
    sha256 = weights.text("sha256")
    if not re.fullmatch("[0-9a-f]{64}", sha256):
        raise summary.broken(f"has sha256 = {short(sha256)}, which is not a checksum")
    return Weights(weights.text("source"), sha256)
