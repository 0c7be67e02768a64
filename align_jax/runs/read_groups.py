"""Reads accuracy by group from a result of a summary."""

from typing import NamedTuple

from align_jax.runs.untrusted_json import Fields, short

ABOUT_GROUPS = ("per_group_accuracy", "worst_group")
"""What a result says of its groups beside `worst_group_accuracy`."""


class Group(NamedTuple):
    """The examples of one class in one environment; the accuracy is None where it is not finite."""

    class_name: str
    name: str
    examples: int
    accuracy: float | None


def read_groups(result: Fields) -> tuple[Group, ...]:
    """The groups of a result; none where its data set has none.

    Raises:
      BrokenFile: a group is broken, or is there twice.
    """
    rows = result.items("per_group_accuracy", dict) if "per_group_accuracy" in result.content else []
    groups = tuple(_group(Fields(row, result.path)) for row in rows)
    if len({group[:2] for group in groups}) < len(groups):
        raise result.broken("has the accuracy of one class and group twice")
    return groups


def read_worst_group(result: Fields) -> Group | None:
    """The worst group of a result; None where no group is large enough.

    Raises:
      BrokenFile: it is broken.
    """
    fields = result.object("worst_group")
    return (
        _group(fields)._replace(accuracy=result.number("worst_group_accuracy", share=True)) if fields.content else None
    )


def _group(fields: Fields) -> Group:
    examples = fields.required("examples", int)
    if examples < 1:
        raise fields.broken(f"has a group of {short(examples)} examples")
    return Group(fields.text("class"), fields.text("group"), examples, fields.number("accuracy", share=True))
