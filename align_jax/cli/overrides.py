"""`--config.FIELD=VALUE`: told apart from other flags, checked against the config, and applied."""

from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.cli.arguments import parse_flags
from align_jax.errors import UserError


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
    arguments = ["", *overrides]
    copy = config.copy_and_resolve_references()
    config_flags.DEFINE_config_dict("config", copy, flag_values=values, sys_argv=arguments)
    parse_flags(arguments, "--config.FIELD=VALUE", values=values)
    return copy


def _check_field(config: ml_collections.ConfigDict, field: str) -> None:
    """Refuses a field that the config does not have, and names the fields that it has."""
    at, path = config, "config"
    for name in field.split("."):
        fields = sorted(at) if isinstance(at, ml_collections.ConfigDict) else []
        if name not in fields:
            raise UserError(f"--config.{field}: {path} has no field {name!r}; it has {', '.join(fields) or 'none'}.")
        at, path = at[name], f"{path}.{name}"
    if isinstance(at, ml_collections.ConfigDict):
        raise UserError(f"--config.{field} is a group of fields; set one of {', '.join(sorted(at))}.")
