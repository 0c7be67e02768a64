"""The command line of `launch/main.py`: flags in, runs out; a user's mistake gives a sentence, not a traceback."""

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.errors import UserError

USAGE = "python launch/main.py --config=configs/quickstart.py --workdir=DIR [--config.FIELD=VALUE ...]"


def parse(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    """The config with its overrides applied, and the workdir.

    Args:
      arguments: as `sys.argv`, with the program's name first.

    Raises:
      UserError: an unknown flag or field, a value of the wrong type, or no config.
    """
    overrides = [argument for argument in arguments if argument.lstrip("-").startswith("config.")]
    config, workdir = _parse([argument for argument in arguments if argument not in overrides])
    for override in overrides:
        name, equals, _ = override.lstrip("-").partition("=")
        if not equals:
            raise UserError(f"{override} has no value; write --{name}=VALUE.")
        _check_field(config, name.removeprefix("config."))
    return _parse(arguments) if overrides else (config, workdir)


def _parse(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file(
        "config", None, "The config file.", flag_values=values, sys_argv=list(arguments)
    )
    flags.DEFINE_string("workdir", None, "The run's folder.", flag_values=values)
    try:
        rest = values(list(arguments))
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"--{error.flagname} is no flag; write {USAGE}.") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error
    if rest[1:]:
        raise UserError(f"{rest[1]!r} is no flag; write {USAGE}.")
    if config.value is None:
        raise UserError(f"--config is missing; write {USAGE}.")
    if values.workdir is None:
        raise UserError(f"--workdir is missing; write {USAGE}.")
    return _readable(config.value), Path(values.workdir)


def _readable(config: Any) -> ml_collections.ConfigDict:
    """The config; `config_flags` gives a stand-in for a file that it could not read, which raises when it is used."""
    if isinstance(config, ml_collections.ConfigDict):
        return config
    try:
        _ = config.algorithm
    except Exception as error:
        # The message is the traceback of the file; its last line says what happened.
        raise UserError(f"The config file cannot be read: {str(error).strip().splitlines()[-1]}") from error
    raise UserError(f"The config file's get_config() gives a {type(config).__name__}; it must give a ConfigDict.")


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


def _one_line(error: Exception) -> str:
    return " ".join(str(error).split())


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/main.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    try:
        config, workdir = parse(arguments)
        # Imported late: a mistyped flag should not cost the seconds that JAX takes to start.
        from align_jax.configuration import check
        from align_jax.devices import check_accelerator

        check(config)
        check_accelerator()
        from align_jax.comparison import run_all
        from align_jax.interruption import Interrupted

        try:
            report = run_all(config, workdir)
        except Interrupted as interrupted:
            print(interrupted, file=sys.stderr)
            return interrupted.status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; can --workdir and config.data.prepared be written, and is there room?", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print("\nInterrupted; what was saved is whole, and the same command goes on from there.", file=sys.stderr)
        return 130
    print(f"Report: {report}")
    return 0
