"""`--config.FIELD=VALUE`: told apart from other flags, checked against the config, and applied."""

import ast
import re
from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.cli.arguments import parse_flags
from align_jax.errors import UserError
from align_jax.moved_settings import MOVED


def split_overrides(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of config fields, and everything else."""
    overrides = [argument for argument in arguments if argument.lstrip("-").startswith("config.")]
    return overrides, [argument for argument in arguments if argument not in overrides]


def check_overrides(
    config: ml_collections.ConfigDict, overrides: Sequence[str], groups: Sequence[str] | None = None
) -> None:
    """Refuses overrides without a value, of fields that the config does not have, or outside `groups`."""
    for override in overrides:
        name, equals, _ = override.lstrip("-").partition("=")
        if not equals:
            raise UserError(f"{override} has no value; write --{name}=VALUE.")
        field = name.removeprefix("config.")
        if groups is not None and field.partition(".")[0] not in groups:
            valid = " and ".join(f"--config.{group}.FIELD" for group in groups)
            raise UserError(f"--{name} was fixed when the run was trained; only {valid} can be set here.")
        _check_field(config, field)


def with_overrides(config: ml_collections.ConfigDict, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """A copy of a config with checked overrides applied."""
    values = flags.FlagValues()
    arguments = ["", *with_tuples(config, overrides)]
    copy = config.copy_and_resolve_references()
    config_flags.DEFINE_config_dict("config", copy, flag_values=values, sys_argv=arguments)
    parse_flags(arguments, "--config.FIELD=VALUE", values=values)
    return copy


def check_groups(config: ml_collections.ConfigDict, groups: Sequence[str]) -> None:
    """Checks these groups of a run's config, which may come from anywhere; its algorithm may be the user's own."""
    from align_jax.configuration import check, default_config

    checked = default_config()
    checked.update({group: config[group] for group in groups})
    check(checked)


def with_tuples(config: ml_collections.ConfigDict, arguments: Sequence[str]) -> list[str]:
    """The arguments, with the value of a field that holds a tuple as Python writes it: `erm,dre` is ('erm', 'dre')."""
    written = []
    for argument in arguments:
        name, equals, text = argument.partition("=")
        field = name.lstrip("-").removeprefix("config.")
        is_tuple = argument.lstrip("-").startswith("config.") and isinstance(_value(config, field), tuple)
        written.append(f"{name}={_as_tuple(text)!r}" if equals and is_tuple else argument)
    return written


def _as_tuple(text: str) -> tuple[object, ...]:
    """What a person means by `4,8`, `erm`, `(erm,dre)`, `('erm', 'dre')`, or by nothing at all."""
    try:
        value = ast.literal_eval(text)
    except (ValueError, SyntaxError, MemoryError, RecursionError):  # names without quotes
        inner = re.sub(r"^[(\[](.*)[)\]]$", r"\1", text.strip())
        return tuple(name for part in inner.split(",") if (name := part.strip().strip("'\"")))
    return tuple(value) if isinstance(value, tuple | list) else (value,)


def _value(config: ml_collections.ConfigDict, field: str) -> object:
    """The value of a field; None where there is none."""
    at: object = config
    for name in field.split("."):
        at = at.get(name) if isinstance(at, ml_collections.ConfigDict) else None
    return at


def _check_field(config: ml_collections.ConfigDict, field: str) -> None:
    """Refuses a field that the config does not have, and names the fields that it has."""
    at, path = config, "config"
    for name in field.split("."):
        fields = sorted(at) if isinstance(at, ml_collections.ConfigDict) else []
        if field in MOVED:
            raise UserError(f"--config.{field} is called --config.{MOVED[field]} now; write that.")
        if name not in fields:
            raise UserError(f"--config.{field}: {path} has no field {name!r}; it has {', '.join(fields) or 'none'}.")
        at, path = at[name], f"{path}.{name}"
    if isinstance(at, ml_collections.ConfigDict):
        raise UserError(f"--config.{field} is a group of fields; set one of {', '.join(sorted(at))}.")
