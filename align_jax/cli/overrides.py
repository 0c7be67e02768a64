"""`--config.FIELD=VALUE`: told apart from other flags, checked against the config, and applied."""

from collections.abc import Sequence

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.cli.arguments import parsed
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
            raise UserError(f"--{name} is what the run was trained with; here only {valid} can be set.")
        _check_field(config, field)


def overridden(config: ml_collections.ConfigDict, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """A copy of a config with checked overrides applied."""
    values = flags.FlagValues()
    arguments = ["", *overrides]
    copy = config.copy_and_resolve_references()
    config_flags.DEFINE_config_dict("config", copy, flag_values=values, sys_argv=arguments)
    parsed(arguments, "--config.FIELD=VALUE", values=values)
    return copy


def _check_field(config: ml_collections.ConfigDict, field: str) -> None:
    """Refuses a field that the config does not have, naming the ones beside it."""
    at, path = config, "config"
    for name in field.split("."):
        if not isinstance(at, ml_collections.ConfigDict) or name not in at:
            valid = ", ".join(sorted(at)) if isinstance(at, ml_collections.ConfigDict) else "nothing"
            raise UserError(f"--config.{field}: {path} has no field {name!r}; it has {valid}.")
        at, path = at[name], f"{path}.{name}"
    if isinstance(at, ml_collections.ConfigDict):
        raise UserError(f"--config.{field} is a group of fields; set one of {', '.join(sorted(at))}.")
