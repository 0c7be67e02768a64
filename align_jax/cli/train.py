"""`launch/main.py`: trains and evaluates one method, or several on the same data with one page above them."""

import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.cli import distributed
from align_jax.cli.arguments import parse_flags, split_compilation_cache, split_profile
from align_jax.cli.exit_status import SMALLER_BATCHES, exit_status
from align_jax.cli.overrides import check_overrides, split_overrides, with_tuples
from align_jax.errors import UserError, one_line
from align_jax.runtime.joining import Processes
from align_jax.runtime.paths import refuse_url
from align_jax.runtime.terminal import show

USAGE = (
    "python launch/main.py --config=configs/quickstart.py [--workdir=DIR] [--config.FIELD=VALUE ...] "
    f"[--profile=STEPS] [--compilation_cache=DIR|off] {distributed.USAGE}"
)

# A trace is kept in memory until it ends.
MOST_PROFILED_STEPS = 1000


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/main.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted.

    Of several processes, those that are left end with 75 when another one has died.
    """
    processes = Processes()

    def train() -> None:
        cache, given = split_compilation_cache(arguments)
        profiled_steps, given = split_profile(given, MOST_PROFILED_STEPS)
        hosts, given = distributed.split_distributed(given)
        config, workdir = parse(given)
        # Imported late: a mistyped flag should not cost the seconds that JAX takes to start.
        from align_jax.configuration import check, with_home
        from align_jax.runtime.compilation_cache import use_compilation_cache
        from align_jax.runtime.devices import check_accelerator

        config = with_home(config)
        check(config)
        use_compilation_cache(cache, with_names=profiled_steps > 0)
        if hosts.wanted:
            processes.join(hosts.coordinator, hosts.num_processes, hosts.process_id)
        check_accelerator()
        from align_jax.cli.comparison import run_all

        page = run_all(config, workdir, profiled_steps=profiled_steps, prepare_on_each_host=hosts.prepare_on_each_host)
        if page is not None:
            show(f"Report: {one_line(str(page))}")

    return exit_status(
        train,
        on_os_error="can --workdir and config.data.prepared be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
        on_memory_error=SMALLER_BATCHES,
        processes=processes,
    )


def parse(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    """The config of a command (as `sys.argv`), with its overrides applied, and the workdir.

    Raises:
      UserError: an unknown flag or field, a value of the wrong type, or no config.
    """
    overrides, others = split_overrides(arguments)
    config, workdir = _parse_config_file(others)
    check_overrides(config, overrides)
    return _parse_config_file(with_tuples(config, arguments)) if overrides else (config, workdir)


def _parse_config_file(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    values = flags.FlagValues()
    # The shell does not do this inside a flag, and `config_flags` reads the file before a flag could be changed.
    pattern, expanded = "^(--?config=)(~.*)", lambda flag: flag[1] + os.path.expanduser(flag[2])
    arguments = [re.sub(pattern, expanded, given) for given in arguments]
    for given in arguments:
        if re.match("--?config=", given):
            refuse_url(given.partition("=")[2], given)
    config = config_flags.DEFINE_config_file("config", None, "", flag_values=values, sys_argv=list(arguments))
    values, _ = parse_flags(arguments, USAGE, paths=("workdir",), values=values)
    if config.value is None:
        raise UserError(f"--config is missing; write {USAGE}.")
    readable = _readable(config.value)
    if values.workdir is not None:
        return readable, Path(values.workdir)
    # As a sweep in runs/NAME would place the run; a comparison takes all of runs/NAME.
    workdir = Path("runs") / Path(config_flags.get_config_filename(values["config"]).partition(":")[0]).stem
    if readable.compare:
        return readable, workdir
    return readable, workdir / readable.algorithm / readable.data.domain / f"seed{readable.seed}"


def _readable(config: Any) -> ml_collections.ConfigDict:
    """The config; for a file that it cannot read, `config_flags` gives an object that raises when it is used."""
    if isinstance(config, ml_collections.ConfigDict):
        return config
    try:
        _ = config.algorithm
    except Exception as error:
        # The message is the traceback of the file; only its last line says what happened.
        raise UserError(f"The config file cannot be read: {str(error).strip().splitlines()[-1]}") from error
    raise UserError(f"The config file's get_config() returns a {type(config).__name__}; it must return a ConfigDict.")
