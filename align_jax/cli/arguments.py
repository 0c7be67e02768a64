"""What the flags of all commands have in common: absl's flags, with mistakes answered in one sentence."""

from collections.abc import Sequence

from absl import flags

from align_jax.cli.exit_status import HelpAsked
from align_jax.errors import UserError, shown
from align_jax.runtime.paths import local_path


def answer_help(arguments: Sequence[str], usage: str) -> None:
    """Ends a program that was asked how it is used.

    Raises:
      HelpAsked: -h or --help is among the arguments.
    """
    if any(argument in ("-h", "-help", "--help") for argument in arguments):
        raise HelpAsked(usage)


def parse_flags(
    arguments: Sequence[str],
    usage: str,
    *,
    strings: Sequence[str] = (),
    paths: Sequence[str] = (),
    integers: Sequence[str] = (),
    values: flags.FlagValues | None = None,
    positional: bool = False,
) -> tuple[flags.FlagValues, list[str]]:
    """The flags (None for those that are not given), and the other arguments, wherever they stand.

    Args:
      arguments: as `sys.argv`.
      usage: what to write instead of a mistake.
      strings, paths, integers: names of flags. In paths, `~` becomes the home folder.
      values: with flags that are defined already.
      positional: whether arguments that are not flags are allowed.

    Raises:
      UserError: a flag or its value is not valid, or a path is empty or a URL.
    """
    answer_help(arguments, usage)
    values = flags.FlagValues() if values is None else values
    values.set_gnu_getopt(True)
    for name in (*strings, *(name for name in paths if name not in values)):
        flags.DEFINE_string(name, None, "", flag_values=values)
    for name in integers:
        flags.DEFINE_integer(name, None, "", lower_bound=0, flag_values=values)
    try:
        rest = values(list(arguments))[1:]
    except flags.UnrecognizedFlagError as error:
        raise UserError(f"--{error.flagname} is not a flag; write {usage}.") from error
    except RecursionError as error:  # absl looks for flags of a similar name
        raise UserError(f"The name of a flag is too long; write {usage}.") from error
    except (flags.Error, TypeError, ValueError) as error:
        raise UserError(_one_line(error)) from error
    if rest and not positional:
        raise UserError(f"{rest[0]!r} is not a flag; write {usage}.")
    for name in paths:
        given = values[name].value
        if given is not None:
            values[name].value = str(local_path(given, f"--{name}"))
    return values, rest


def _one_line(error: Exception) -> str:
    """The message of an error; for an error in a config file, the last line of the traceback that comes with it."""
    text = str(error).strip()
    return text.splitlines()[-1].partition("Error: ")[2] if "Traceback" in text else " ".join(text.split())


def split_compilation_cache(arguments: Sequence[str]) -> tuple[str | None, list[str]]:
    """The value of --compilation_cache, and the other arguments; see `split_flag`."""
    return split_flag(arguments, "compilation_cache", "DIR, or --compilation_cache=off")


def split_flag(arguments: Sequence[str], flag: str, example: str) -> tuple[str | None, list[str]]:
    """The value of a flag --FLAG=VALUE, and the other arguments; None if it is not given. The last one counts.

    Args:
      arguments: as `sys.argv`.
      flag: its name.
      example: what to write as its value.

    Raises:
      UserError: it has no value.
    """
    given = [
        argument for argument in arguments if argument.lstrip("-").partition("=")[0] == flag and argument[:1] == "-"
    ]
    others = [argument for argument in arguments if argument not in given]
    if not given:
        return None, others
    value = given[-1].partition("=")[2]
    if not value:
        raise UserError(f"--{flag} has no value; write --{flag}={example}.")
    return value, others


def split_profile(arguments: Sequence[str], most: int) -> tuple[int, list[str]]:
    """The number of steps that --profile gives, and the other arguments; 0 if it is not given. The last one counts.

    Raises:
      UserError: it is not a whole number from 1 to `most`.
    """
    value, others = split_flag(arguments, "profile", f"STEPS, from 1 to {most}")
    if value is None:
        return 0, others
    # Not `isdigit`, which takes other digits than int() does.
    steps = int(value) if value.isascii() and value.isdecimal() and len(value) <= len(str(most)) else 0
    if not 1 <= steps <= most:
        raise UserError(f"--profile is {shown(value)}; it must be the number of updates to trace, from 1 to {most}.")
    return steps, others
