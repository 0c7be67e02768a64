"""What ends a command is one line, whatever its size."""

import re
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.cli import evaluate, explain, export, prepare, report, sweep, train
from align_jax.cli.exit_status import exit_status
from align_jax.configuration import settings
from align_jax.errors import UserError

ROOT = Path(__file__).parents[2]


def ended(program, capsys):
    """The exit status and the line."""
    status = exit_status(program, on_os_error="is there room?", on_interrupt="nothing is lost.")
    (line,) = capsys.readouterr().err.splitlines()
    return status, line


@pytest.mark.parametrize("allocate", [lambda: jnp.zeros((2**20, 2**21)), lambda: np.ones((2**20, 2**22))])
def test_too_little_memory_is_a_sentence_with_what_to_lower(allocate, capsys):
    status, line = ended(allocate, capsys)
    assert status == 2
    assert line.startswith("error: There is not enough memory (")
    assert line.endswith("; give it fewer or smaller images, or more memory.")


@pytest.mark.parametrize("command", [evaluate, explain, export, prepare, report, sweep, train])
def test_what_to_lower_is_what_the_command_takes(command, monkeypatch):
    given = {}
    monkeypatch.setattr(command, "exit_status", lambda program, **remedies: given.update(remedies) or 0)
    others = [()] if command is sweep else []
    command.main(["command.py", *["DIR"] * (command is report)], *others)
    named = re.findall(r"config\.[a-z_.]*[a-z]", given.get("on_memory_error", ""))
    evaluating = "config.evaluation.batch_size"
    kept = ["config.schedule.accumulate", "config.classifier.remat", "config.classifier.dtype"]
    training = [*kept, "config.schedule.batch_size", evaluating, "config.data.image_size"]
    expected = {train: training, sweep: training, evaluate: [evaluating]}
    assert named == expected.get(command, [])
    assert {name.removeprefix("config.") for name in named} <= set(settings())


def test_other_errors_of_the_program_itself_keep_their_traceback():
    def broken():
        raise RuntimeError("INTERNAL: a mistake")

    with pytest.raises(RuntimeError, match="INTERNAL"):
        exit_status(broken, on_os_error="", on_interrupt="")


def test_a_name_of_any_length_makes_no_long_line(capsys):
    def too_long():
        open("x" * 10**6).close()

    status, line = ended(too_long, capsys)
    assert (status, len(line) < 2100) == (2, True)
    assert line.endswith("'; is there room?")
    with pytest.raises(UserError, match="The name of a flag is too long; write python"):
        train.parse(["main.py", f"--config={ROOT / 'configs' / 'quickstart.py'}", "--" + "x" * 10**5])
