"""Commands as several processes on this machine, with virtual CPU devices and Gloo between them."""

import os
import signal
import socket
import subprocess
import sys
import time
from pathlib import Path

ROOT = Path(__file__).parents[1]
# A busy machine may take minutes for what takes seconds.
PATIENCE_S = 1200


def free_port():
    """A port for the coordinator. Another program could take it first, which no test of this machine does."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        return listening.getsockname()[1]


class Started:
    """Some processes that run one program; what each prints goes into a file, which no pipe can hold up."""

    def __init__(self, commands, folder, devices):
        """Starts `commands`, one process each, with `devices` CPU devices each; output goes into `folder`."""
        folder.mkdir(parents=True, exist_ok=True)
        environment = os.environ | {
            "JAX_PLATFORMS": "cpu",
            "JAX_NUM_CPU_DEVICES": str(devices),
            "PYTHONPATH": str(ROOT),
        }
        self._files = [folder / f"process{number}" for number in range(len(commands))]
        self.processes = []
        for command, path in zip(commands, self._files, strict=True):
            with path.open("w") as file:
                self.processes.append(subprocess.Popen(command, env=environment, stdout=file, stderr=file, text=True))

    def said(self, number):
        """What a process has printed, without what Gloo says of its connections."""
        lines = self._files[number].read_text().splitlines()
        return "\n".join(line for line in lines if not line.startswith("[Gloo]"))

    def wait_for(self, condition):
        """Waits until a condition holds while all processes run."""
        deadline = time.monotonic() + PATIENCE_S
        while not condition():
            if time.monotonic() > deadline or any(process.poll() is not None for process in self.processes):
                self.kill()
                raise AssertionError("\n".join(map(self.said, range(len(self.processes)))))
            time.sleep(0.01)

    def ended(self, within_s=PATIENCE_S):
        """The exit statuses."""
        deadline = time.monotonic() + within_s
        try:
            return [process.wait(max(deadline - time.monotonic(), 0.1)) for process in self.processes]
        finally:
            self.kill()

    def kill(self):
        for process in self.processes:
            if process.poll() is None:
                process.send_signal(signal.SIGKILL)
                process.wait()


def start(program, arguments, folder, *, processes=1, devices=1):
    """A command of `launch/`, in as many processes as said, which are told of each other by flags.

    All but `main.py`, whose config file does it, are told of the tests' networks and data first.
    """
    knowing = (
        f"import runpy, tests.tiny_config; runpy.run_path({str(ROOT / 'launch' / program)!r}, run_name='__main__')"
    )
    of_python = [str(ROOT / "launch" / program)] if program == "main.py" else ["-c", knowing]
    command = [sys.executable, *of_python, *arguments]
    if processes == 1:
        return Started([command], folder, devices)
    meeting = [f"--coordinator=127.0.0.1:{free_port()}", f"--num_processes={processes}"]
    return Started([[*command, *meeting, f"--process_id={number}"] for number in range(processes)], folder, devices)
