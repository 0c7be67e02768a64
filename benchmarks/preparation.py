"""Images per second and memory when preparing a data set of Terra Incognita's size and layout.

    python -m benchmarks.preparation --images=24788

Makes JPEG files of 320 x 240 pixels in a temporary folder (about 35 kB each: twice 0.9 GB at the default), prepares
them in a separate process, and prints its time and memory.
"""

import argparse
import itertools
import subprocess
import sys
import tempfile
import time
from pathlib import Path

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import cv2
import numpy as np

from align_jax.cli.exit_status import exit_status
from align_jax.data.datasets.terra_incognita.terra_incognita import CLASSES, DOMAINS

STOPPED = "nothing is left."
PREPARE = """
import resource, sys, time
from pathlib import Path
from align_jax.data.datasets.terra_incognita import prepare
before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
began = time.perf_counter()
builder = prepare(Path(sys.argv[1]), Path(sys.argv[2]))
elapsed = time.perf_counter() - began
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
print(builder.info.splits.total_num_examples, elapsed, before / 1024, peak / 1024)
"""


def make_images(root: Path, number: int) -> int:
    """Writes JPEG files to root/LOCATION/CLASS/, the same number to each; returns their total size in bytes."""
    random = np.random.default_rng(0)
    places = itertools.cycle(itertools.product(DOMAINS, CLASSES))
    # Blurred noise compresses about as well as night-time photographs. A few hundred pictures are enough.
    contents = []
    for _ in range(min(number, 200)):
        pixels = cv2.resize(random.integers(0, 256, (30, 40, 3), np.uint8), (320, 240), interpolation=cv2.INTER_CUBIC)
        contents.append(cv2.imencode(".jpg", pixels)[1].tobytes())
    total = 0
    for index, (domain, name) in zip(range(number), places, strict=False):
        stop_if_asked(STOPPED)
        folder = root / domain / name
        folder.mkdir(parents=True, exist_ok=True)
        # Bytes after the end of an image are not read; they make the files differ, as photographs do.
        content = contents[index % len(contents)] + index.to_bytes(4, "big")
        total += (folder / f"{index:06d}.jpg").write_bytes(content)
    return total


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--images", type=int, default=24788)
    arguments = parser.parse_args()

    def run() -> None:
        with stop_request("ending after this part"), tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), arguments.images)

    return exit_status(run, on_os_error="is there room?", on_interrupt=f"a folder is left in {tempfile.gettempdir()}.")


def measure(folder: Path, number: int) -> None:
    """Prints the time and memory of preparing `number` images, which are made in `folder`."""
    root, prepared = folder / "terra_incognita", folder / "prepared"
    size = make_images(root, number)
    print(f"{number:,} JPEG files of 320 x 240 pixels, {size / number / 1000:.1f} kB each")
    began = time.perf_counter()
    command = [sys.executable, "-c", PREPARE, str(root), str(prepared)]
    answer = subprocess.run(command, stdout=subprocess.PIPE, stderr=subprocess.DEVNULL, text=True)
    stop_if_asked(STOPPED)  # a terminal sends Ctrl-C to that process, too
    answer.check_returncode()
    images, elapsed, before, peak = map(float, answer.stdout.split())
    print(f"{images:,.0f} prepared in {elapsed:.1f} s: {images / elapsed:.0f} images/s")
    print(f"Peak memory {peak:.0f} MiB; {before:.0f} MiB before the first image")
    print(f"With the start of Python: {time.perf_counter() - began:.1f} s")


if __name__ == "__main__":
    sys.exit(main())
