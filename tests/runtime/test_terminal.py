import subprocess
import sys

CODE = """
import os, sys
from align_jax.runtime.terminal import say, show
say("first"); show("first")
os.read(0, 1)  # until the readers are gone
say("second"); show("second")
say("third"); show("third")
open(sys.argv[1], "w").write("the work went on")
"""


def test_work_goes_on_where_the_readers_are_gone(tmp_path):
    command = [sys.executable, "-c", CODE, tmp_path / "done"]
    process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, stderr=subprocess.PIPE)
    for stream in (process.stdout, process.stderr):
        assert stream.readline() == b"first\n"
        stream.close()
    process.communicate(b"x", timeout=60)
    assert process.returncode == 0
    assert (tmp_path / "done").exists()
