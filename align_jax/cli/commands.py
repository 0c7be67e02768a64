"""The command lines of `launch/`: flags in, work done; a user's mistake gives a sentence, not a traceback."""

import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

import ml_collections
from absl import flags
from ml_collections import config_flags

from align_jax.errors import UserError

USAGE = "python launch/main.py --config=configs/quickstart.py [--workdir=DIR] [--config.FIELD=VALUE ...]"
EVALUATE_USAGE = (
    "python launch/evaluate.py --workdir=DIR [--step=N] [--config.data.FIELD=VALUE ...] "
    "[--config.evaluation.FIELD=VALUE ...] [--out=FILE]"
)
EXPLAIN_USAGE = "python launch/explain.py --workdir=DIR [--step=N] [--out=DIR] IMAGE_OR_FOLDER..."
EXPORT_USAGE = "python launch/export.py --workdir=DIR [--step=N] --to=FILE.safetensors"

# What may differ from training when a run is evaluated again.
EVALUATED = ("data", "evaluation")


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/main.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""

    def train() -> None:
        config, workdir = parse(arguments)
        # Imported late: a mistyped flag should not cost the seconds that JAX takes to start.
        from align_jax.configuration import check
        from align_jax.runtime.devices import check_accelerator

        check(config)
        check_accelerator()
        from align_jax.cli.comparison import run_all

        print(f"Report: {run_all(config, workdir)}")

    return exit_status(
        train,
        on_os_error="can --workdir and config.data.prepared be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
    )


def evaluate(arguments: Sequence[str]) -> int:
    """Runs `launch/evaluate.py` and returns its exit status, as `main`."""

    def run() -> None:
        overrides, others = _split(arguments)
        values, rest = parsed(others, EVALUATE_USAGE, strings=("workdir", "out"), integers=("step",))
        refuse_positional(rest, EVALUATE_USAGE)
        from align_jax.configuration import check, default_config
        from align_jax.runtime.devices import check_accelerator

        _check_overrides(default_config(), overrides, EVALUATED)
        check_accelerator()
        from align_jax.inference.reevaluation import check_out, evaluation_table, reevaluate, write_evaluation

        trained = _trained(values)
        config = _overridden(trained.config, overrides)
        # Not the whole of it: the algorithm may be of the user's own making.
        evaluated = default_config()
        evaluated.update({group: config[group] for group in (*EVALUATED, "masker")})
        check(evaluated)
        out = Path(values.out) if values.out is not None else None
        if out is not None:
            check_out(trained, out)
        evaluation = reevaluate(trained, config)
        path = write_evaluation(trained, evaluation, out)
        print(f"{evaluation_table(evaluation)}\nEvaluation: {path}")

    return exit_status(
        run,
        on_os_error="can the data be read, and DIR/evaluations, config.data.prepared or --out be written?",
        on_interrupt="nothing was written.",
    )


def explain(arguments: Sequence[str]) -> int:
    """Runs `launch/explain.py` and returns its exit status, as `main`."""

    def run() -> None:
        values, images = parsed(arguments, EXPLAIN_USAGE, strings=("workdir", "out"), integers=("step",))
        if not images:
            raise UserError(f"No image is given; write {EXPLAIN_USAGE}.")
        from align_jax.inference.explain_images import explain_images

        trained = _trained(values)
        out = Path(values.out) if values.out is not None else trained.folder / "explanations"
        explanations = explain_images(trained, [Path(image) for image in images], out, print)
        print(f"{explanations.explained} explained, {len(explanations.skipped)} skipped.\nPage: {explanations.page}")

    return exit_status(
        run,
        on_os_error="can --out be written, and is there room?",
        on_interrupt="what was written is whole; the same command begins again.",
    )


def export(arguments: Sequence[str]) -> int:
    """Runs `launch/export.py` and returns its exit status, as `main`."""

    def run() -> None:
        values, rest = parsed(arguments, EXPORT_USAGE, strings=("workdir", "to"), integers=("step",))
        refuse_positional(rest, EXPORT_USAGE)
        if values.to is None or not values.to.endswith(".safetensors"):
            raise UserError(f"--to is {values.to!r}; give a file that ends in .safetensors: {EXPORT_USAGE}.")
        from align_jax.models import pretrained

        trained = _trained(values)
        classifier, _ = trained.states
        pretrained.save(Path(values.to), classifier.params, classifier.batch_stats)
        print(f"{trained.config.classifier.name} of step {trained.step}: {values.to}")

    return exit_status(run, on_os_error="can --to be written?", on_interrupt="nothing was written.")


class HelpAsked(Exception):
    """--help was given; the text is what to print."""


def answer_help(arguments: Sequence[str], usage: str) -> None:
    """Ends a program that was asked how it is used.

    Raises:
      HelpAsked: -h or --help is among the arguments.
    """
    if any(argument in ("-h", "-help", "--help") for argument in arguments):
        raise HelpAsked(usage)


def exit_status(program: Callable[[], int | None], *, on_os_error: str, on_interrupt: str) -> int:
    """Runs a program and says in one line what went wrong.

    Args:
      program: raises `UserError` for a user's mistake; may give a status of its own.
      on_os_error: what to look at where a file could not be read or written.
      on_interrupt: what Ctrl-C has left.

    Returns:
      The program's own status, or 0; 2 for a user's mistake, 128 plus the signal's number when interrupted.
    """
    from align_jax.runtime.interruption import Interrupted

    try:
        return program() or 0
    except HelpAsked as usage:
        print(usage)
        return 0
    except Interrupted as interrupted:
        print(interrupted, file=sys.stderr)
        return interrupted.status
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; {on_os_error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt:
        print(f"\nInterrupted; {on_interrupt}", file=sys.stderr)
        return 130


def parse(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    """The config with its overrides applied, and the workdir.

    Args:
      arguments: as `sys.argv`, with the program's name first.

    Raises:
      UserError: an unknown flag or field, a value of the wrong type, or no config.
    """
    overrides, others = _split(arguments)
    config, workdir = _parse_config_file(others)
    _check_overrides(config, overrides)
    return _parse_config_file(arguments) if overrides else (config, workdir)


def _parse_config_file(arguments: Sequence[str]) -> tuple[ml_collections.ConfigDict, Path]:
    values = flags.FlagValues()
    config = config_flags.DEFINE_config_file(
        "config", None, "The config file.", flag_values=values, sys_argv=list(arguments)
    )
    values, rest = parsed(arguments, USAGE, strings=("workdir",), values=values)
    refuse_positional(rest, USAGE)
    if config.value is None:
        raise UserError(f"--config is missing; write {USAGE}.")
    readable = _readable(config.value)
    if values.workdir is None:
        name = Path(config_flags.get_config_filename(values["config"]).partition(":")[0]).stem
        return readable, default_workdir(readable, name)
    return readable, Path(values.workdir)


def default_workdir(config: ml_collections.ConfigDict, name: str) -> Path:
    """Where a run goes that was not told: runs/NAME for a comparison, else a folder as a sweep in runs/NAME has it."""
    workdir = Path("runs") / name
    return workdir if config.compare else workdir / config.algorithm / config.data.domain / f"seed{config.seed}"


def parsed(
    arguments: Sequence[str],
    usage: str,
    *,
    strings: Sequence[str] = (),
    integers: Sequence[str] = (),
    values: flags.FlagValues | None = None,
) -> tuple[flags.FlagValues, list[str]]:
    """The flags, None where they are not given, and the arguments that are none, wherever they stand.

    Args:
      arguments: as `sys.argv`.
      usage: what to write instead of a mistake.
      strings, integers: names of flags.
      values: with flags that are defined already.
    """
    answer_help(arguments, usage)
    values = flags.FlagValues() if values is None else values
    values.set_gnu_getopt(True)
    for name in strings:
        flags.DEFINE_string(name, None, "", flag_values=values)
    for name in integers:
        flags.DEFINE_integer(name, None, "", lower_bound=0, flag_values=values)
    try:
        return values, values(list(arguments))[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"--{error.flagname} is no flag; write {usage}.") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error


def refuse_positional(rest: Sequence[str], usage: str) -> None:
    """Refuses arguments that are no flags.

    Raises:
      UserError: the first of them.
    """
    if rest:
        raise UserError(f"{rest[0]!r} is no flag; write {usage}.")


def _trained(values: flags.FlagValues) -> Any:
    """The run that --workdir and --step name."""
    from align_jax.runs.trained import load_trained

    if values.workdir is None:
        raise UserError("--workdir is missing; give the folder of a run, the --workdir that it was trained in.")
    trained = load_trained(Path(values.workdir), values.step)
    if trained.defaulted:
        print(
            f"note: {trained.folder / 'config.json'} does not have {', '.join(trained.defaulted)}; this version's "
            "defaults stand in.",
            file=sys.stderr,
        )
    return trained


def _split(arguments: Sequence[str]) -> tuple[list[str], list[str]]:
    """The overrides of config fields, and everything else."""
    overrides = [argument for argument in arguments if argument.lstrip("-").startswith("config.")]
    return overrides, [argument for argument in arguments if argument not in overrides]


def _check_overrides(
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


def _overridden(config: ml_collections.ConfigDict, overrides: Sequence[str]) -> ml_collections.ConfigDict:
    """A copy of a config with checked overrides applied."""
    values = flags.FlagValues()
    arguments = ["", *overrides]
    copy = config.copy_and_resolve_references()
    config_flags.DEFINE_config_dict("config", copy, flag_values=values, sys_argv=arguments)
    parsed(arguments, "--config.FIELD=VALUE", values=values)
    return copy


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
    """A flag's error; of one in a config file, which comes with the file's traceback, the last line."""
    text = str(error).strip()
    return text.splitlines()[-1].partition("Error: ")[2] if "Traceback" in text else " ".join(text.split())
