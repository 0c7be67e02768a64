"""Large blocks that are freed are given out again without page faults."""

import os
import platform
import subprocess
import sys
from pathlib import Path

import pytest

from align_jax.runtime.allocator import CHOSEN

ROOT = Path(__file__).parents[2]
CODE = """
import resource, sys
import numpy as np
from align_jax.runtime.allocator import keep_freed_memory

print(keep_freed_memory() if sys.argv[1] == "keep" else None)
np.ones(8_000_000)
before = resource.getrusage(resource.RUSAGE_SELF).ru_minflt
for _ in range(10):
    np.ones(8_000_000)
print(resource.getrusage(resource.RUSAGE_SELF).ru_minflt - before)
"""


def faults(argument, **environment):
    given = {name: value for name, value in os.environ.items() if name not in CHOSEN}
    said = subprocess.run(
        [sys.executable, "-c", CODE, argument], env=given | environment, capture_output=True, text=True, check=True,
        cwd=ROOT,
    ).stdout.split()  # fmt: skip
    return said[0], int(said[1])


@pytest.mark.skipif(platform.libc_ver()[0] != "glibc", reason="it speaks to the GNU C library")
def test_freed_memory_is_kept():
    told, kept = faults("keep")
    assert told == "True"
    _, usual = faults("leave")
    assert usual > 1000, "64 MB have 15,625 pages, or 30 large ones"
    assert kept < usual / 20


def test_what_a_person_chose_stays():
    assert faults("keep", MALLOC_TRIM_THRESHOLD_="131072")[0] == "False"
