"""Signals end a process well, or are remembered: wherever they come, nothing swallows them."""

import ast
import contextlib
import os
import pty
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from align_jax.runtime.interruption import Interrupted, stop_if_asked, stop_request

ROOT = Path(__file__).parents[2]
COMMANDS = sorted(
    path
    for folder in ("launch", "experiments", "benchmarks")
    for path in (ROOT / folder).rglob("*.py")
    if "__main__" in path.read_text() and not path.name.startswith("torch_")  # which do not need align_jax
)
INTERRUPTION = "align_jax.runtime.interruption"


def start(code, **options):
    """A command whose program is `code`."""
    indented = "".join(f"    {line}\n" for line in code.strip().splitlines())
    code = f"""
import gc, hashlib, os, signal, sys, threading, time
from align_jax.cli.exit_status import exit_status
from align_jax.runtime.interruption import *
begin()
def ready():
    print("ready")  # which is written at once, though it goes into a pipe
def program():
{indented}
sys.exit(exit_status(program, on_os_error="?", on_interrupt="nothing was written."))
"""
    streams = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE, "text": True}
    return subprocess.Popen(
        [sys.executable, "-c", code], env=os.environ | {"PYTHONPATH": str(ROOT)}, **(streams | options)
    )


def ended(process, *numbers):
    """The status and the errors of a command that gets these signals, each after it has said something."""
    patience = threading.Timer(60, process.kill)
    patience.start()
    for turn, number in enumerate(numbers):
        (process.stderr if turn else process.stdout).readline()
        process.send_signal(number)
    _, errors = process.communicate()
    patience.cancel()
    return process.returncode, errors


@pytest.mark.parametrize("path", COMMANDS, ids=lambda path: str(path.relative_to(ROOT)))
def test_every_command_handles_signals_before_its_slow_imports(path):
    nodes = [node for node in ast.walk(ast.parse(path.read_text())) if hasattr(node, "lineno")]
    imported = set()
    for node in sorted(nodes, key=lambda node: node.lineno):
        if isinstance(node, ast.Import):
            imported |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            imported.add(node.module)
        elif isinstance(node, ast.Call) and getattr(node.func, "id", "") == "begin":
            break
    else:
        pytest.fail("begin() is never called")
    assert {name.partition(".")[0] for name in imported - {INTERRUPTION}} <= sys.stdlib_module_names


def test_handling_signals_needs_no_slow_import():
    code = "import sys, align_jax.runtime.interruption; print(*sys.modules)"
    loaded = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, cwd=ROOT).stdout
    assert not {"jax", "numpy", "ml_collections", "absl"} & set(loaded.split())


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_a_command_in_one_line(number):
    assert ended(start("ready()\ntime.sleep(60)"), number) == (
        128 + number,
        f"Interrupted by {number.name}; nothing was written.\n",
    )


def test_a_signal_that_comes_in_a_callback_of_the_garbage_collector_is_not_swallowed():
    program = "gc.callbacks.append(lambda *_: signal.raise_signal(signal.SIGINT))\ngc.collect()\ntime.sleep(60)"
    process = start(program)
    assert ended(process) == (130, "Interrupted by SIGINT; nothing was written.\n")


def test_a_second_interrupt_ends_a_command_at_once_even_in_c_code():
    """It computes for many minutes; only a thread sees the signals meanwhile."""
    program = """
with stop_request():
    threading.Timer(0.5, ready).start()  # when the main thread computes
    hashlib.pbkdf2_hmac("sha256", b"", b"", 2**31 - 1)
"""
    status, errors = ended(start(program), signal.SIGINT, signal.SIGINT)
    assert (status, errors) == (130, "Interrupted by SIGINT; nothing was written.\n")


def test_a_second_interrupt_inside_two_requests_ends_the_command():
    program = "with stop_request():\n    with stop_request():\n        ready()\n        time.sleep(60)"
    assert ended(start(program), signal.SIGINT, signal.SIGINT)[0] == 130


def test_a_closed_terminal_is_a_request_to_stop_and_printing_goes_on(tmp_path):
    terminal, its_end = pty.openpty()
    program = f"""
# It becomes the controlling terminal, which the process loses when the test closes the other end.
os.login_tty({its_end})
with stop_request() as stop:
    print("inside", flush=True)
    while not stop:
        time.sleep(0.01)
    print("to nobody", flush=True)
    print("to nobody", file=sys.stderr, flush=True)
    open({str(tmp_path / "saved")!r}, "w").close()
    raise Interrupted("Stopped.", stop.signal)
"""
    process = start(program, pass_fds=(its_end,))
    os.close(its_end)
    said = b""
    while b"inside" not in said:
        said += os.read(terminal, 100)
    os.close(terminal)
    assert process.wait(timeout=120) == 128 + signal.SIGHUP
    assert (tmp_path / "saved").exists()


def test_the_first_signal_is_remembered_and_the_others_change_nothing():
    with stop_request() as stop:
        assert not stop
        stop_if_asked("nothing was written.")
        for number in (signal.SIGHUP, signal.SIGTERM):
            signal.raise_signal(number)
        assert (stop.signal, stop.insisted) == (signal.SIGHUP, False)
        with pytest.raises(Interrupted, match="by SIGHUP; nothing was written") as caught:
            stop_if_asked("nothing was written.")
        assert caught.value.status == 128 + signal.SIGHUP
        with stop_request() as inner:
            assert inner.signal == signal.SIGHUP, "what begins after the request is asked to stop, too"
        stop.signal = None
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler


def test_without_a_command_the_second_interrupt_is_an_exception():
    with stop_request() as outer, stop_request() as inner:
        signal.raise_signal(signal.SIGINT)
        with pytest.raises(KeyboardInterrupt):
            signal.raise_signal(signal.SIGINT)
        assert inner.insisted
        outer.signal = None


def test_a_block_that_fails_leaves_the_request_to_the_one_around_it():
    with stop_request() as outer:
        with contextlib.suppress(ValueError), stop_request():
            signal.raise_signal(signal.SIGTERM)
            raise ValueError
        assert outer.signal == signal.SIGTERM
        outer.signal = None


def test_a_request_that_nobody_answered_comes_again():
    with pytest.raises(KeyboardInterrupt), stop_request():
        signal.raise_signal(signal.SIGINT)


def test_nohup_stays(monkeypatch):
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with stop_request() as stop:
            signal.raise_signal(signal.SIGHUP)
        assert not stop
    finally:
        signal.signal(signal.SIGHUP, before)
