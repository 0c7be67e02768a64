"""The command line of `launch/sweep.py`: everything is checked before anything runs.

`--methods`, `--domains` and `--seeds` list values of `config.algorithm`, `config.data.domain` and `config.seed`; by
default the config's own value is the only one. Each `--vary` is one more axis of the grid.
"""

import dataclasses
import os
import re
import shlex
import sys
from collections.abc import Container, Sequence
from pathlib import Path

from absl import flags

from align_jax.cli import train
from align_jax.cli.arguments import parse_flags, split_compilation_cache
from align_jax.cli.exit_status import SMALLER_BATCHES, exit_status
from align_jax.cli.overrides import split_overrides
from align_jax.errors import UserError, one_line
from align_jax.runs.folder import check_run_folder
from align_jax.runtime.files import write_atomically
from align_jax.runtime.terminal import show
from align_jax.sweeping.cells import SweepCell, grid, share
from align_jax.sweeping.record import record
from align_jax.sweeping.slurm import MOST_JOBS, slurm_script
from align_jax.sweeping.subprocesses import state
from align_jax.sweeping.sweep import Sweep, run_sweep

USAGE = (
    "python launch/sweep.py --config=configs/quickstart.py --workdir=DIR [--methods=align,erm] [--domains=A,B] "
    "[--seeds=0,1,2] [--vary=FIELD=VALUE,VALUE ...] [--config.FIELD=VALUE ...] [--jobs=N] [--worker=i/n] "
    "[--slurm=FILE] [--dry_run] [--compilation_cache=DIR|off]"
)

# The fields that a cell is named after, and the flags that sweep them.
AXES = {"algorithm": "methods", "compare": "methods", "data.domain": "domains", "seed": "seeds"}


def parse(arguments: Sequence[str]) -> Sweep:
    """The sweep that a command (as `sys.argv`) asks for, each of its cells checked as `launch/main.py` would.

    Raises:
      UserError: an unknown flag, method or field, a value that cannot work, a run that is in the grid twice, or a
        cell's folder that holds a run with another config.
    """
    values, given = _flags(arguments)
    base, _ = train.parse([arguments[0], f"--config={values.config}", *given, f"--workdir={values.workdir}"])
    overrides = dict(override.lstrip("-").removeprefix("config.").split("=", 1) for override in given)
    methods = _values("methods", values.methods) or list(dict.fromkeys((base.algorithm, *base.compare)))
    domains = _values("domains", values.domains) or [base.data.domain]
    seeds = _seeds(values.seeds) or [base.seed]
    if "" in domains:
        raise UserError("config.data.domain is empty; name the domains with --domains=A,B.")
    varied = _varied(values.vary, overrides)
    for field, flag in AXES.items():
        if field in overrides and values[flag].value:
            raise UserError(f"--{flag} sets config.{field} for each cell; leave out --config.{field}.")
    if values.jobs < 1:
        raise UserError(f"--jobs is {values.jobs}; it must be at least 1.")
    if values.slurm is not None and values.worker is not None:
        raise UserError("--slurm writes a script that gives each job its own --worker; leave out one of the two.")
    lists = ("methods", "domains", "seeds")
    sweep = Sweep(
        workdir=Path(values.workdir),
        config=values.config,
        overrides={field: value for field, value in overrides.items() if field not in AXES},
        cells=grid(methods, domains, seeds, varied),
        worker=_worker(values.worker),
        jobs=values.jobs,
        slurm=None if values.slurm is None else Path(values.slurm),
        dry_run=values.dry_run,
        again=[
            f"--config={values.config}",
            *given,
            f"--workdir={values.workdir}",
            *(f"--{flag}={values[flag].value}" for flag in lists if values[flag].value),
            *(f"--vary={text}" for text in values.vary),
            *([f"--jobs={values.jobs}"] if values.jobs != 1 else []),
        ],
    )
    check_cells(sweep)
    return sweep


def _flags(arguments: Sequence[str]) -> tuple[flags.FlagValues, list[str]]:
    """The flags of the sweep itself, and the overrides --config.FIELD=VALUE."""
    overrides, others = split_overrides(arguments)
    values = flags.FlagValues()
    flags.DEFINE_multi_string("vary", [], "", flag_values=values)
    flags.DEFINE_integer("jobs", 1, "", flag_values=values)
    flags.DEFINE_boolean("dry_run", False, "", flag_values=values)
    strings = ("methods", "domains", "seeds", "worker")
    values, _ = parse_flags(others, USAGE, strings=strings, paths=("config", "workdir", "slurm"), values=values)
    for name in ("config", "workdir"):
        if not values[name].value:
            raise UserError(f"--{name} is missing; write {USAGE}.")
    return values, overrides


def _values(flag: str, text: str | None) -> list[str]:
    """The values of a flag; none if the flag is not given."""
    values = _between_commas(text) if text else []
    if "" in values:
        raise UserError(f"--{flag}={text} has an empty value; write values with commas between them.")
    return values


def _between_commas(text: str) -> list[str]:
    """Split at the commas outside brackets: (4,8) is one value."""
    values, depth = [""], 0
    for character in text:
        depth += (character in "([{") - (character in ")]}")
        if character == "," and depth <= 0:
            values.append("")
        else:
            values[-1] += character
    return [value.strip() for value in values]


def _seeds(text: str | None) -> list[int]:
    seeds = _values("seeds", text)
    try:
        return [int(seed) for seed in seeds]
    except ValueError as error:
        raise UserError(f"--seeds is {text!r}; write whole numbers with commas between them.") from error


def _varied(vary: Sequence[str], overrides: Container[str]) -> dict[str, list[str]]:
    varied: dict[str, list[str]] = {}
    for text in vary:
        field, equals, values = text.partition("=")
        field = field.removeprefix("config.")
        if not (field and equals):
            raise UserError(f"--vary={text} has no values; write --vary=FIELD=VALUE,VALUE.")
        if field in AXES:
            raise UserError(f"--vary={text}: config.{field} is swept by --{AXES[field]}=VALUE,VALUE.")
        if field in varied:
            raise UserError(f"--vary={field} is given twice; write all values in one, with commas between them.")
        if field in overrides:
            raise UserError(f"config.{field} is set by both --vary and --config.{field}; leave out one of the two.")
        varied[field] = _between_commas(values)
    return varied


def _worker(text: str | None) -> tuple[int, int]:
    if text is None:
        return 0, 1
    match = re.fullmatch(r"([0-9]{1,9})/([0-9]{1,9})", text)
    if match is None or int(match[1]) >= int(match[2]):
        raise UserError(f"--worker is {text!r}; write i/n, with i from 0 to n - 1, such as 0/4.")
    return int(match[1]), int(match[2])


def check_cells(sweep: Sweep) -> None:
    """Refuses what a cell's own run would refuse, and a run that is in the grid twice.

    Raises:
      UserError: a cell's config cannot work, or its folder holds a run with another config.
    """
    # Imported late: a mistyped flag should not cost the seconds that JAX takes to start.
    from align_jax.configuration import check, with_home

    configs = {}
    by_config: dict[str, SweepCell] = {}
    by_folder: dict[str, SweepCell] = {}
    for cell in sweep.cells:
        # Parsing is slow, so it is done once for all cells that differ only in the four fields set below.
        if cell.overrides not in configs:
            configs[cell.overrides], _ = train.parse(["main.py", *sweep.flags(cell)])
        config = with_home(configs[cell.overrides])
        config.algorithm, config.data.domain, config.seed, config.compare = cell.method, cell.domain, cell.seed, ()
        check(config)
        same = by_config.setdefault(config.to_json(sort_keys=True), cell)
        if same is not cell:
            both = " and ".join(dict.fromkeys((same.path, cell.path)))
            raise UserError(f"The grid has the same run twice ({both}); give each value once.")
        alike = by_folder.setdefault(cell.path.casefold(), cell)
        if alike is not cell:
            raise UserError(
                f"{alike.path} and {cell.path} differ only in case, which not every file system tells apart; "
                "sweep them in two workdirs."
            )
        check_run_folder(config, sweep.workdir / cell.path)


def main(arguments: Sequence[str], program: Sequence[str]) -> int:
    """Runs `launch/sweep.py`; `program` is the command that runs a cell, to be given `launch/main.py`'s flags.

    Returns:
      The exit status: 0, 1 when a cell failed, 2 for a user's mistake, 130 or 143 when asked to stop.
    """

    def run() -> int:
        cache, given = split_compilation_cache(arguments)
        sweep = parse(given)
        flag = [] if cache is None else [f"--compilation_cache={cache}"]
        sweep = dataclasses.replace(sweep, again=[*sweep.again, *flag])
        return _run(sweep, arguments, [*program, *flag])

    return exit_status(
        run,
        on_os_error="can --workdir be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
        on_memory_error=SMALLER_BATCHES,
    )


def _run(sweep: Sweep, arguments: Sequence[str], program: Sequence[str]) -> int:
    # All cells of a seed come before the next seed, so that methods can be compared early.
    mine = sorted(share(sweep.cells, *sweep.worker), key=lambda cell: cell.seed)
    if sweep.dry_run:
        for cell in mine:
            show(f"{state(sweep.workdir / cell.path):12} {cell.path}")
        show(f"{len(mine)} of {len(sweep.cells)} cells for worker {sweep.worker[0]} of {sweep.worker[1]}")
        return 0
    record(sweep.workdir, sweep.cells)
    if sweep.slurm is not None:
        command = [sys.executable, str(Path(arguments[0]).resolve()), *sweep.again]
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", sweep.workdir.resolve().name)
        written = slurm_script(command, len(sweep.cells), Path.cwd(), name)
        write_atomically(sweep.slurm, os.fsencode(written))
        show(
            f"{len(sweep.cells)} cells in {min(len(sweep.cells), MOST_JOBS)} jobs: sbatch {one_line(str(sweep.slurm))}"
        )
        return 0
    again = shlex.join(["python", *arguments])
    complete, failed = run_sweep(sweep, program, title="sweep", again=again, cells=mine)
    show(f"{complete} of {len(mine)} cells are complete in {one_line(str(sweep.workdir))}.")
    return 1 if failed else 0
