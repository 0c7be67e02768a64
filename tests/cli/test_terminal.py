"""What commands print can be printed: names from anywhere, on a terminal of any encoding."""

import ast
import io
import sys
from pathlib import Path

import pytest

from align_jax.cli.exit_status import HelpAsked, exit_status
from align_jax.errors import UserError
from align_jax.runtime.interruption import Interrupted
from align_jax.runtime.terminal import say

ROOT = Path(__file__).parents[2]
HOSTILE = "B\u00e4r\x1b[31m\n\udcff\u202e\u732b"
SAFE = "B\u00e4r\ufffd[31m \ufffd\ufffd\u732b"


def run(program):
    return exit_status(program, on_os_error="is there room?", on_interrupt="nothing was written.")


@pytest.mark.parametrize(
    "error", [UserError(HOSTILE), OSError(HOSTILE), Interrupted(HOSTILE, 2), HelpAsked(HOSTILE), None], ids=repr
)
@pytest.mark.parametrize("encoding", ["ascii", "latin-1", "utf-8"])
def test_no_name_ends_a_command_on_any_terminal(monkeypatch, error, encoding):
    streams = {name: io.TextIOWrapper(io.BytesIO(), encoding, "strict") for name in ("stdout", "stderr")}
    for name, stream in streams.items():
        monkeypatch.setattr(sys, name, stream)

    def program():
        print(HOSTILE)  # of a table, say
        if error is not None:
            raise error

    assert run(program) == (0 if error is None or isinstance(error, HelpAsked) else getattr(error, "status", 2))
    written = {name: stream.buffer.getvalue() for name, stream in streams.items() if not stream.flush()}
    assert written["stdout"].startswith("B\u00e4r".encode(encoding, "backslashreplace"))
    assert b"\x1b" not in written["stderr"]
    assert written["stderr"].count(b"\n") == (0 if error is None or isinstance(error, HelpAsked) else 1)


def test_what_is_said_is_one_line_without_what_a_terminal_would_obey(capsys):
    say(HOSTILE)
    assert capsys.readouterr().err == f"{SAFE}\n"


@pytest.mark.parametrize("path", sorted((ROOT / "align_jax").rglob("*.py")), ids=lambda path: path.name)
def test_everything_is_said_in_this_way(path):
    if path.name == "terminal.py" and path.parent.name == "runtime":
        return
    for node in ast.walk(ast.parse(path.read_text())):
        if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "print":
            table = any("table" in ast.unparse(argument) for argument in node.args)
            assert table or not any(keyword.arg == "file" for keyword in node.keywords), "use runtime.terminal.say"
