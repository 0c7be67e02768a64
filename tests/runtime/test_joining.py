"""Processes that join, and end together: whoever fails says why, and whoever is lost ends the others."""

import signal
import sys

import pytest

from ..several_processes import Started, free_port

# Seconds without a sign of life, and exit statuses as in the library.
HEARTBEAT_S, LOST = 5, 75
PROGRAM = """
import sys, time
from align_jax.runtime import joining
from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.runtime.interruption import Interrupted, begin

begin()
number, address, task = int(sys.argv[1]), sys.argv[2], sys.argv[3]
joining.HEARTBEAT_S = {heartbeat}
if task == "alone":
    joining.JOIN_S = 3
processes = joining.Processes()

def program():
    processes.join(address, 2, number)
    from align_jax.runtime import processes as among
    print("answer", among.from_writer(lambda: {{"number": number, "text": "é"}}), flush=True)
    print("gathered", among.gathered(b"of " + str(number).encode() * (number + 1)), flush=True)
    print("first", among.writer_first(lambda: number), flush=True)
    if task == "wait":
        print("waiting", flush=True)
        among.from_writer(lambda: time.sleep(600))
    if task == "mistake" and number == 1:
        raise UserError("the images of this host are missing.")
    if task == "mistake":
        time.sleep(600)
    if task == "error" and number == 0:
        raise KeyError("a mistake of the program")
    if task == "error":
        time.sleep(600)
    if task == "together":
        def refuse():
            raise UserError("refused.")
        among.from_writer(refuse)
    if task == "alike":
        among.check_alike("data", {{"name": "squares", "examples": number}})

sys.exit(exit_status(program, on_os_error="?", on_interrupt="nothing was written.", processes=processes))
"""


@pytest.fixture
def run(tmp_path):
    """Starts two processes, and ends them after the test."""
    started = []

    def start(task):
        program = PROGRAM.format(heartbeat=HEARTBEAT_S)
        address = f"127.0.0.1:{free_port()}"
        commands = [[sys.executable, "-c", program, str(number), address, task] for number in range(2)]
        started.append(Started(commands, tmp_path, devices=1))
        return started[-1]

    yield start
    for each in started:
        each.kill()


def test_what_the_writer_knows_all_know_and_each_gets_the_content_of_all(run):
    pair = run("nothing")
    assert pair.ended() == [0, 0]
    for number in range(2):
        lines = pair.said(number).splitlines()
        assert lines == [
            "answer {'number': 0, 'text': 'é'}",
            "gathered [b'of 0', b'of 11']",
            f"first {number}",
        ]


@pytest.mark.parametrize("killed", [0, 1])
def test_where_one_is_killed_the_other_ends_with_a_sentence(run, killed):
    pair = run("wait")
    pair.wait_for(lambda: all("waiting" in pair.said(number) for number in range(2)))
    pair.processes[killed].send_signal(signal.SIGKILL)
    statuses = pair.ended(within_s=60)
    assert statuses[killed] == -signal.SIGKILL
    assert statuses[1 - killed] == LOST
    who = "Process 0 at 127.0.0.1:" if killed == 0 else "One of the 2 processes"
    assert f"error: {who}" in pair.said(1 - killed)
    assert "start all processes again with the same commands" in pair.said(1 - killed)


@pytest.mark.parametrize("present", [0, 1])
def test_where_the_others_do_not_come_a_process_ends_with_a_sentence(present, tmp_path):
    address = f"127.0.0.1:{free_port()}"
    command = [sys.executable, "-c", PROGRAM.format(heartbeat=HEARTBEAT_S), str(present), address, "alone"]
    alone = Started([command], tmp_path, devices=1)
    assert alone.ended() == [LOST]
    assert f"error: The processes did not meet at {address} within 3 s; start all of them" in alone.said(0)


def test_where_one_fails_by_a_mistake_the_other_says_so_and_ends_alike(run):
    pair = run("mistake")
    assert pair.ended(within_s=60) == [2, 2]
    assert pair.said(1).splitlines()[-1] == "error: the images of this host are missing."
    assert "Process 1 on" in pair.said(0)
    assert "has ended, and so does this one: error: the images of this host are missing." in pair.said(0)


def test_where_one_fails_without_a_sentence_it_prints_its_traceback_and_the_other_ends(run):
    pair = run("error")
    assert pair.ended(within_s=60) == [1, 1]
    assert "KeyError: 'a mistake of the program'" in pair.said(0)
    assert "Process 0 on" in pair.said(1)
    assert "KeyError: 'a mistake of the program'" in pair.said(1)


def test_what_all_refuse_one_says(run):
    pair = run("together")
    assert pair.ended() == [2, 2]
    assert pair.said(0).splitlines()[-1] == "error: refused."
    assert "refused" not in pair.said(1)


def test_other_data_on_one_host_are_refused(run):
    pair = run("alike")
    assert pair.ended() == [2, 2]
    line = pair.said(0).splitlines()[-1]
    assert line.startswith("error: Process 1 on ")
    assert line.endswith("(examples differ); give every host the same data.")
