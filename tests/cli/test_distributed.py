"""Several processes are asked for explicitly: half of the flags, or both ways at once, is a mistake."""

import os
import subprocess
import sys
from pathlib import Path

import pytest

from align_jax.cli.distributed import Distributed, split_distributed
from align_jax.errors import UserError

ROOT = Path(__file__).parents[2]
EXPLICIT = ["--coordinator=10.0.0.2:8476", "--num_processes=4", "--process_id=3"]


def test_without_flags_there_is_one_process():
    assert split_distributed(["main.py", "--config=a.py"]) == (Distributed(), ["main.py", "--config=a.py"])


def test_the_flags_and_what_they_mean():
    assert split_distributed(["main.py", "--distributed=auto", "x"]) == (Distributed(True), ["main.py", "x"])
    found, rest = split_distributed(["main.py", *EXPLICIT, "--prepare=on_each_host", "--config.seed=1"])
    assert found == Distributed(True, "10.0.0.2:8476", 4, 3, True)
    assert rest == ["main.py", "--config.seed=1"]
    assert split_distributed([*EXPLICIT, "--prepare=once"])[0].prepare_on_each_host is False
    assert split_distributed(["--coordinator=[::1]:80", *EXPLICIT[1:]])[0].coordinator == "[::1]:80"


@pytest.mark.parametrize(
    ("arguments", "parts"),
    [
        (["--distributed=yes"], ["--distributed is 'yes'; write --distributed=auto"]),
        (["--distributed"], ["--distributed has no value; write --distributed=auto."]),
        (["--distributed=auto", "--process_id=0"], ["reads what --process_id says from the job", "one of the two"]),
        (EXPLICIT[:1], ["--coordinator needs --num_processes and --process_id; give all three"]),
        (EXPLICIT[1:], ["--num_processes and --process_id needs --coordinator"]),
        ([*EXPLICIT[:2], "--process_id=4"], ["--process_id is '4'; give a whole number from 0 to 3 of"]),
        ([*EXPLICIT[:2], "--process_id=-1"], ["--process_id is '-1'", "from 0 to 3"]),
        ([EXPLICIT[0], "--num_processes=0", "--process_id=0"], ["--num_processes is '0'", "from 1 to"]),
        ([EXPLICIT[0], "--num_processes=two", "--process_id=0"], ["--num_processes is 'two'"]),
        (["--coordinator=host", *EXPLICIT[1:]], ["--coordinator is 'host'; write HOST:PORT"]),
        (["--coordinator=host:0", *EXPLICIT[1:]], ["--coordinator is 'host:0'"]),
        (["--coordinator=http://host:80", *EXPLICIT[1:]], ["--coordinator is 'http://host:80'"]),
        (["--prepare=once"], ["--prepare says how several processes prepare data; leave it out"]),
        (["--distributed=auto", "--prepare=twice"], ["--prepare is 'twice'; write once if", "on_each_host"]),
    ],
)
def test_mistakes_are_answered_in_one_line(arguments, parts):
    with pytest.raises(UserError) as caught:
        split_distributed(["main.py", *arguments])
    for part in parts:
        assert part in str(caught.value), caught.value
    assert "\n" not in str(caught.value)


def test_auto_outside_of_a_job_is_a_mistake():
    """In a process of its own: in this one, other tests have touched a device."""
    program = "from align_jax.runtime.joining import Processes; Processes().join(None, None, None)"
    environment = os.environ | {"JAX_PLATFORMS": "cpu", "PYTHONPATH": str(ROOT)}
    ended = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True)
    last = ended.stderr.strip().splitlines()[-1]
    assert "UserError: --distributed=auto finds no Cloud TPU, Slurm, Kubernetes or Open MPI" in last
