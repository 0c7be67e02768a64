"""The flags by which several processes, one on each host, run one command together. Nothing is guessed.

Cloud TPU, Slurm, Kubernetes and Open MPI tell a process of the others, which `--distributed=auto` reads. Elsewhere
every process is told: `--coordinator=HOST:PORT --num_processes=N --process_id=I`.
"""

import dataclasses
import re
from collections.abc import Sequence

from align_jax.cli.arguments import split_flag
from align_jax.errors import UserError

USAGE = "[--distributed=auto | --coordinator=HOST:PORT --num_processes=N --process_id=I] [--prepare=once|on_each_host]"
ONCE, ON_EACH_HOST = "once", "on_each_host"
# Each with what to write as its value.
FLAGS = {
    "distributed": "auto",
    "coordinator": "HOST:PORT",
    "num_processes": "N",
    "process_id": "I",
    "prepare": f"{ONCE}, or --prepare={ON_EACH_HOST}",
}
EXPLICIT = ("coordinator", "num_processes", "process_id")
MOST_PROCESSES = 10**6


@dataclasses.dataclass(frozen=True)
class Distributed:
    """What a command's flags say about other processes.

    Attributes:
      wanted: whether there are any.
      coordinator, num_processes, process_id: see `Processes.join`.
      prepare_on_each_host: whether each host prepares the data set for itself, as they share no file system.
    """

    wanted: bool = False
    coordinator: str | None = None
    num_processes: int | None = None
    process_id: int | None = None
    prepare_on_each_host: bool = False


def split_distributed(arguments: Sequence[str]) -> tuple[Distributed, list[str]]:
    """What the flags say about other processes, and the other arguments.

    Args:
      arguments: as `sys.argv`.

    Raises:
      UserError: flags that do not go together, or a value that is not valid.
    """
    values, rest = {}, list(arguments)
    for flag, example in FLAGS.items():
        values[flag], rest = split_flag(rest, flag, example)
    given = [flag for flag in EXPLICIT if values[flag] is not None]
    if values["distributed"] not in (None, "auto"):
        raise UserError(
            f"--distributed is {values['distributed']!r}; write --distributed=auto, or leave it out and give "
            "--coordinator=HOST:PORT --num_processes=N --process_id=I."
        )
    if values["distributed"] and given:
        raise UserError(
            f"--distributed=auto reads what --{given[0]} says from the job; give one of the two, and leave out the "
            "other."
        )
    missing = [flag for flag in EXPLICIT if flag not in given]
    if given and missing:
        raise UserError(
            f"--{' and --'.join(given)} needs --{' and --'.join(missing)}; give all three, to each process with its "
            "own --process_id."
        )
    wanted = bool(values["distributed"] or given)
    prepare = values["prepare"]
    if prepare not in (None, ONCE, ON_EACH_HOST):
        raise UserError(
            f"--prepare is {prepare!r}; write {ONCE} if the hosts share the file system of config.data.prepared, or "
            f"{ON_EACH_HOST} if each has its own."
        )
    if prepare and not wanted:
        raise UserError("--prepare says how several processes prepare data; leave it out, or give --distributed=auto.")
    if not given:
        return Distributed(wanted, prepare_on_each_host=prepare == ON_EACH_HOST), rest
    processes = _number(values["num_processes"], "num_processes", 1, MOST_PROCESSES)
    return Distributed(
        wanted,
        _address(values["coordinator"]),
        processes,
        _number(values["process_id"], "process_id", 0, processes - 1),
        prepare == ON_EACH_HOST,
    ), rest


def _number(text: str | None, flag: str, least: int, most: int) -> int:
    if text is None or not re.fullmatch(r"[0-9]{1,9}", text) or not least <= int(text) <= most:
        beside = " of --num_processes - 1" if flag == "process_id" else ""
        raise UserError(f"--{flag} is {text!r}; give a whole number from {least} to {most}{beside}.")
    return int(text)


def _address(text: str | None) -> str:
    match = re.fullmatch(r"([A-Za-z0-9_.-]+|\[[0-9A-Fa-f:.]+\]):([0-9]{1,5})", text or "")
    if match is None or not 1 <= int(match[2]) <= 65535:
        raise UserError(
            f"--coordinator is {text!r}; write HOST:PORT, the host of process 0 and a port there that is free, such as "
            "10.0.0.2:8476."
        )
    return match[0]
