"""Fields that had another name in earlier versions: a run that was begun with it is read, and goes on."""

from collections.abc import Mapping
from typing import Any

MOVED = {
    "evaluation.explained_class": "explain.target",
    "evaluation.fill": "explain.fill",
    "evaluation.faithfulness_images": "explain.images",
    "evaluation.insertion_steps": "explain.steps",
}
"""The names of today, by the old ones. Values did not change."""


def with_new_names(content: Mapping[str, Any]) -> dict[str, Any]:
    """The content of a `config.json`, its groups nested, with each moved field under its name of today.

    A field that the content has under both names keeps the value of today's.
    """
    groups = {name: dict(value) if isinstance(value, dict) else value for name, value in content.items()}
    for old, new in MOVED.items():
        (old_group, old_name), (new_group, new_name) = old.split("."), new.split(".")
        group = groups.get(old_group)
        if isinstance(group, dict) and old_name in group:
            value = group.pop(old_name)
            target = groups.setdefault(new_group, {})
            if isinstance(target, dict):
                target.setdefault(new_name, value)
    return groups
