"""Images per second of the training input at 224 pixels, compared with a PyTorch DataLoader with the same transforms.

    python -m benchmarks.input_pipeline --peer-python=PATH

PATH is a Python that has torch, torchvision and Pillow. Both sides take turns on the same two cores, and read the same
JPEG files (320 x 240, cut from the panoramas of emoji_scenes): this library with two threads, the DataLoader with two
worker processes.

This library's batches are uint8 on JAX's CPU device, as training gets them: the step itself normalises them first
(`normalised` adds that, on the same cores). The DataLoader's batches are normalised float32, as DomainBed's are.
"""

import argparse
import contextlib
import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import cv2
import jax
import numpy as np

from align_jax.cli.exit_status import exit_status
from align_jax.data.augment import Augmentation
from align_jax.data.datasets.emoji_scenes import assets
from align_jax.data.images import decode_stored
from align_jax.data.normalise import normalise
from align_jax.data.pipeline import TrainingBatches, training_examples
from align_jax.runtime.sharding import data_mesh

PEER = Path(__file__).with_name("torch_input_pipeline.py")
STOPPED = "nothing is left."
HEIGHT, WIDTH = 240, 320


def write_images(folder: Path, number: int) -> None:
    """Writes JPEG files of natural content: windows of the 360-degree panoramas."""
    random = np.random.default_rng(0)
    panoramas = list(assets.load_panoramas(assets.load_index()).values())
    for index in range(number):
        panorama = panoramas[index % len(panoramas)]
        upper = int(random.integers(panorama.shape[0] - HEIGHT, endpoint=True))
        window = np.roll(panorama, int(random.integers(panorama.shape[1])), axis=1)[upper : upper + HEIGHT, :WIDTH]
        cv2.imwrite(str(folder / f"{index:05d}.jpg"), window[..., ::-1], [cv2.IMWRITE_JPEG_QUALITY, 90])


class Files:
    """Image files with the interface of `align_jax.data.records.Records`: they are read and decoded on access."""

    def __init__(self, folder: Path) -> None:
        self.paths = sorted(folder.glob("*.jpg"))

    def __len__(self) -> int:
        return len(self.paths)

    def __getitem__(self, index: int) -> dict[str, Any]:
        return {"image": decode_stored(self.paths[index].read_bytes()), "label": 0, "domain": 0}


def images_per_s(
    folder: Path, arguments: argparse.Namespace, finish: Callable[[jax.Array], jax.Array] = lambda image: image
) -> float:
    """Images per second of the training input, after the batches that fill the buffers."""
    examples = training_examples(
        {"files": Files(folder)}, size=arguments.size, seed=0, with_masks=False, augmentation=Augmentation()
    )
    batches = TrainingBatches(
        examples, batch_size=arguments.batch_size, mesh=data_mesh(), threads=arguments.threads, prefetch=2
    )
    number = arguments.images // arguments.batch_size
    with contextlib.closing(batches):
        for _ in range(8):
            finish(next(batches)["image"]).block_until_ready()
        start = time.perf_counter()
        for _ in range(number):
            finish(next(batches)["image"]).block_until_ready()
        return number * arguments.batch_size / (time.perf_counter() - start)


def peer_images_per_s(folder: Path, arguments: argparse.Namespace) -> tuple[float, str]:
    """Images per second of the DataLoader, and the versions of torch and torchvision."""
    settings = [f"--{name}={getattr(arguments, name.replace('-', '_'))}" for name in ("images", "size", "batch-size")]
    command = [arguments.peer_python, str(PEER), str(folder), *settings, f"--workers={arguments.threads}"]
    ended = subprocess.run(command, capture_output=True, text=True)
    stop_if_asked(STOPPED)  # a terminal sends Ctrl-C to that process, too
    ended.check_returncode()
    answer = json.loads(ended.stdout)
    return answer["images_per_s"], answer["versions"]


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--peer-python", required=True)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--images", type=int, default=1920, help="timed images in each repeat")
    parser.add_argument("--size", type=int, default=224)
    parser.add_argument("--batch-size", type=int, default=32)
    parser.add_argument("--threads", type=int, default=2, help="here; worker processes there; cores")
    arguments = parser.parse_args()

    def run() -> None:
        with stop_request("ending after this turn"), tempfile.TemporaryDirectory() as folder:
            measure(Path(folder), arguments)

    return exit_status(run, on_os_error="is there room?", on_interrupt=f"a folder is left in {tempfile.gettempdir()}.")


def measure(folder: Path, arguments: argparse.Namespace) -> None:
    """Prints the table; the images are made in `folder`."""
    # The DataLoader's processes inherit the cores.
    os.sched_setaffinity(0, sorted(os.sched_getaffinity(0))[: arguments.threads])
    jax.config.update("jax_platforms", "cpu")
    normalised = jax.jit(normalise)
    ours, ours_normalised, theirs = [], [], []
    write_images(folder, 600)
    for repeat in range(arguments.repeats):
        stop_if_asked(STOPPED)
        ours.append(images_per_s(folder, arguments))
        rate, versions = peer_images_per_s(folder, arguments)
        theirs.append(rate)
        ours_normalised.append(images_per_s(folder, arguments, normalised))
        print(
            f"{repeat + 1}/{arguments.repeats}: {ours[-1]:.0f}, normalised {ours_normalised[-1]:.0f}, "
            f"DataLoader {theirs[-1]:.0f} images/s",
            file=sys.stderr,
        )
    print(
        f"{arguments.size} pixels, {arguments.threads} cores; torch, torchvision {versions}; {arguments.repeats} turns"
    )
    print("| | images/s, median (least to most) | x DataLoader, median of turns |")
    print("|---|---|---|")
    for title, rates in (("align-jax", ours), ("align-jax, normalised", ours_normalised), ("DataLoader", theirs)):
        ratio = statistics.median(rate / their for rate, their in zip(rates, theirs, strict=True))
        print(f"| {title} | {statistics.median(rates):.0f} ({min(rates):.0f} to {max(rates):.0f}) | {ratio:.2f} |")


if __name__ == "__main__":
    sys.exit(main())
