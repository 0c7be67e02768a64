"""Programs on eight virtual devices. Each is a process of its own: the number of devices is fixed at start-up."""

import os
import subprocess
import sys
from pathlib import Path


def run_on_eight_devices(program):
    """Runs a program that checks eight devices against one, and prints "same" at its end."""
    environment = os.environ | {
        "XLA_FLAGS": f"{os.environ['XLA_FLAGS']} --xla_force_host_platform_device_count=8",
        "JAX_PLATFORMS": "cpu",
        "PYTHONPATH": str(Path(__file__).parents[1]),
    }
    result = subprocess.run(
        [sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=600
    )
    assert result.stdout.strip() == "same", result.stderr
