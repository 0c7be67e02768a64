"""Runs a launcher's shell text with stand-ins for the programs that it calls, and checks the commands that it gives.

Bash itself expands the text, in a folder that looks like the checkout. A stand-in writes down what it was called with;
some also do what the program would do with a command that it is given.
"""

import os
import re
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest

from align_jax.cli import prepare, report, sweep, train
from align_jax.cli.arguments import split_compilation_cache

ROOT = Path(__file__).parents[2]
# Called by a launcher, and not to be called by a test.
PROGRAMS = (
    "python", "make", "uv", "curl", "sudo", "gcloud", "sky", "docker", "sbatch", "srun", "gcsfuse", "mountpoint",
    "lsb_release", "scontrol", "git", "pip",
)  # fmt: skip
END = "\x1e"
NOTE = """#!/usr/bin/env bash
printf '%s\\0' "${0##*/}" "$@" $'\\x1e' >>"$REHEARSAL_RECORD"
"""
# srun runs what follows its options; gcloud's ssh runs --command on a host.
DOES = {
    "srun": 'while [[ "$1" == -* ]]; do shift; done\n"$@"\n',
    "gcloud": 'for word; do case "$word" in --command=*) (cd "$REHEARSAL_HOME"; bash -c "${word#*=}") ;; esac; done\n',
    "mountpoint": "exit 1\n",
    "lsb_release": "echo jammy\n",
    "sudo": "cat >/dev/null\n",  # what is piped into it: whoever writes there must not find it closed
}


class Rehearsal(NamedTuple):
    """What a launcher did: its exit status, its output, and every program that it called, with the arguments."""

    status: int
    output: str
    calls: list[list[str]]

    def of(self, program: str) -> list[list[str]]:
        """The arguments of each call of a program."""
        return [arguments for name, *arguments in self.calls if name == program]

    def commands(self) -> list[list[str]]:
        """The commands of this project, each as its `sys.argv`."""
        return [arguments for arguments in self.of("python") if arguments and arguments[0].startswith("launch/")]


def checkout(folder: Path, python: str | None = None) -> Path:
    """A folder with the checkout's files in it, and an environment whose Python is a stand-in, or runs `python`."""
    for name in ("launch", "configs", "Makefile", "requirements.txt"):
        (folder / name).symlink_to(ROOT / name)
    (folder / ".venv/bin").mkdir(parents=True)
    content = NOTE if python is None else f'{NOTE}PYTHONPATH={ROOT} exec {python} "$@"\n'
    _program(folder / ".venv/bin/python", content)
    return folder


def _program(path: Path, content: str) -> None:
    path.write_text(content)
    path.chmod(0o755)


def rehearse(
    text: str,
    folder: Path,
    environment: dict[str, str] | None = None,
    arguments: tuple[str, ...] = (),
    *,
    absent: tuple[str, ...] = (),
) -> Rehearsal:
    """Runs a script's text in `folder`, where `checkout` was.

    Args:
      text: for bash.
      folder: where it runs.
      environment: variables beside the test's own.
      arguments: the script's.
      absent: programs that this machine does not have.
    """
    programs, record = folder / ".stand_ins", folder / ".record"
    programs.mkdir(exist_ok=True)
    for name in PROGRAMS:
        _program(programs / name, NOTE + DOES.get(name, ""))
    for name in absent:
        (programs / name).unlink()
    record.write_bytes(b"")
    variables = {
        "PATH": f"{programs}:/usr/bin:/bin" if absent else f"{programs}:{os.environ['PATH']}",
        "HOME": str(folder),
        "REHEARSAL_RECORD": str(record),
        "REHEARSAL_HOME": str(folder),
    }
    result = subprocess.run(
        ["bash", "-c", text, "launcher", *arguments], cwd=folder, env=os.environ | variables | (environment or {}),
        capture_output=True, text=True, timeout=120, stdin=subprocess.DEVNULL,
    )  # fmt: skip
    calls: list[list[str]] = [[]]
    for word in record.read_text().split("\0")[:-1]:
        if word == END:
            calls.append([])
        else:
            calls[-1].append(word)
    return Rehearsal(result.returncode, result.stdout + result.stderr, calls[:-1])


class Accepted(NamedTuple):
    """What a command of `launch/main.py` would do: `joined` is how it joins other processes, None if it is alone."""

    workdir: Path
    joined: tuple[str | None, int | None, int | None] | None
    prepare_on_each_host: bool


def accepted(command: list[str]) -> Accepted | None:
    """Checks a command as its program does before it begins to work; what it says is None but for `launch/main.py`.

    Raises:
      AssertionError, UserError, SystemExit: the program refuses it.
    """
    program = Path(command[0]).stem
    assert (ROOT / command[0]).is_file(), command[0]
    if program == "main":
        return _trained(command)
    if program == "sweep":
        assert sweep.parse(split_compilation_cache(command)[1]).cells
    elif program == "prepare":
        prepare.parse(command)
    elif program == "report":
        assert report.main(command) == 2  # there is no run in these folders
    else:
        pytest.fail(f"no check for {program}")
    return None


def _trained(command: list[str]) -> Accepted:
    done: list[tuple[Path, bool]] = []
    joined: list[tuple[str | None, int | None, int | None]] = []

    def run_all(config, workdir, *, profiled_steps=0, prepare_on_each_host=False):
        done.append((workdir, prepare_on_each_host))
        return workdir

    with pytest.MonkeyPatch.context() as patch:
        patch.chdir(ROOT)
        patch.setattr("align_jax.cli.comparison.run_all", run_all)
        patch.setattr("align_jax.runtime.joining.Processes.join", lambda self, *given: joined.append(given))
        patch.setattr(
            "align_jax.runtime.compilation_cache.use_compilation_cache", lambda choice, with_names=False: None
        )
        assert train.main(command) == 0
    ((workdir, on_each_host),) = done
    assert len(joined) <= 1
    return Accepted(workdir, joined[0] if joined else None, on_each_host)


def shell_blocks(page: Path) -> list[str]:
    """The shell text between ```sh and ``` of a page."""
    return re.findall(r"^```sh\n(.*?)^```$", page.read_text(), flags=re.MULTILINE | re.DOTALL)


def shellcheck(text: str, *, shell: str = "bash") -> str:
    """What shellcheck says of a script's text; nothing if it is good."""
    program = Path(sys.executable).with_name("shellcheck")
    assert program.exists(), "pip install -r requirements-dev.txt"
    return subprocess.run([program, f"--shell={shell}", "-"], input=text, capture_output=True, text=True).stdout
