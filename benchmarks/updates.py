"""How fast an update is: ERM, DRE, masker and ALIGN round, in milliseconds, images a second and share of the peak.

    python -m benchmarks.updates --peer-python=PYTHON_WITH_TORCH --json=updates.json

Every network is at the size and batch at which it is named, with random images and Adam. The rows take turns, and so do
PyTorch's rows if `--peer-python` names a Python that has torch (see torch_updates.py; `--peer-compile` adds
torch.compile). A row's time is its fastest turn: what else runs on the machine can only add to it. FLOPs are XLA's
count of the program for a TPU, which has a convolution where a CPU's may have matmuls. The peak is the fastest of many
large matmuls, between the turns. Peak memory is XLA's: arguments, results and temporaries of the one program.
"""

import argparse
import json
import pathlib
import statistics
import time
from collections.abc import Mapping
from typing import Any, NamedTuple

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax
import jax.numpy as jnp

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.models.resnet import RESNETS
from align_jax.runtime.allocator import keep_freed_memory
from align_jax.runtime.sharding import compiler_options, data_mesh
from benchmarks.four_updates import UPDATES, FourUpdates, Update
from benchmarks.peer import Peer

PEER = pathlib.Path(__file__).parent / "torch_updates.py"
MATMUL = 2048


class Setting(NamedTuple):
    """What is trained: `resnet18:64:32` is a ResNet-18, 64 pixels, 32 images."""

    network: str
    size: int
    batch: int

    @staticmethod
    def parsed(text: str) -> "Setting":
        """From the command line."""
        name, *numbers = text.split(":")
        if name not in RESNETS or len(numbers) != 2 or not all(n.isdecimal() and int(n) > 0 for n in numbers):
            raise UserError(
                f"--settings: {text!r} is not NETWORK:PIXELS:IMAGES, such as resnet18:64:32; "
                f"networks are {', '.join(RESNETS)}."
            )
        return Setting(name, int(numbers[0]), int(numbers[1]))

    def __str__(self) -> str:
        return f"{self.network}, {self.size} px, {self.batch} images"


SETTINGS = ("resnet_small:64:48", "resnet18:64:32", "resnet18:128:16", "resnet50:224:4")


class Row:
    """An update of a setting, compiled, and the seconds of its turns; the peer's beside them."""

    def __init__(self, setting: Setting, name: str, update: Update, first: tuple[Any, ...]) -> None:
        self.setting, self.name, self._states = setting, name, update.states
        # A copy: what is donated is gone for the other rows.
        self._arguments = [jax.tree.map(jnp.copy, first[place]) for place in update.reads]
        traced = jax.jit(update.step, donate_argnums=tuple(range(update.states))).trace(*self._arguments)
        self.flops = traced.lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]
        began = time.perf_counter()
        self._program = traced.lower().compile(compiler_options(data_mesh(jax.devices()[:1])))
        self.compile_s = time.perf_counter() - began
        memory = self._program.memory_analysis()
        # What is donated is an argument and a result in one.
        sizes = (memory.argument_size_in_bytes, memory.output_size_in_bytes, memory.temp_size_in_bytes)
        self.peak_mib = (sum(sizes) - memory.alias_size_in_bytes) / 2**20
        self.seconds: list[float] = []
        self.of_peer: dict[str, list[float]] = {}

    def turn(self) -> float:
        """Seconds of one update."""
        began = time.perf_counter()
        *states, _ = jax.block_until_ready(self._program(*self._arguments))
        seconds = time.perf_counter() - began
        self._arguments[: self._states] = states
        return seconds

    def text(self) -> str:
        """The compiled program."""
        return str(self._program.as_text())

    def found(self, peak: float) -> dict[str, Any]:
        """What was measured, by name."""
        fastest = min(self.seconds)
        row = self.setting._asdict() | {
            "update": self.name,
            "ms": 1000 * fastest,
            "median_ms": 1000 * statistics.median(self.seconds),
            "images_per_s": self.setting.batch / fastest,
            "compile_s": self.compile_s,
            "peak_mib": self.peak_mib,
            "gflop": self.flops / 1e9,
            "gflop_per_s": self.flops / fastest / 1e9,
            "share_of_peak": self.flops / fastest / peak,
        }
        for name, seconds in self.of_peer.items():
            row |= {f"{name}_ms": 1000 * min(seconds), f"{name}_median_ms": 1000 * statistics.median(seconds)}
            row[f"speed_over_{name}"] = min(seconds) / fastest
        return row


class Peak:
    """The machine's FLOP/s: the fastest of many matmuls, which are spread over the whole run."""

    def __init__(self, dtype: str) -> None:
        self._matrix = jnp.ones((MATMUL, MATMUL), dtype)
        self._program = jax.jit(jnp.matmul)
        self.flop_per_s = 0.0
        jax.block_until_ready(self._program(self._matrix, self._matrix))

    def turn(self) -> None:
        """Three more matmuls."""
        for _ in range(3):
            began = time.perf_counter()
            jax.block_until_ready(self._program(self._matrix, self._matrix))
            self.flop_per_s = max(self.flop_per_s, 2 * MATMUL**3 / (time.perf_counter() - began))


def measured(setting: Setting, arguments: argparse.Namespace, peak: Peak) -> list[Row]:
    """The rows of one setting."""
    flags = [f"--network={setting.network}", f"--size={setting.size}", f"--batch={setting.batch}"]
    wanted = {"eager": flags} | ({"compiled": [*flags, "--compile"]} if arguments.peer_compile else {})
    peers: dict[str, Peer] = {}
    try:
        if arguments.peer_python:
            peers = {name: Peer(arguments.peer_python, PEER, each, "torch") for name, each in wanted.items()}
        updates = FourUpdates(setting.network, dtype=arguments.dtype)
        first = jax.jit(lambda: updates.first(setting.size, setting.batch))()
        rows = []
        for name in arguments.updates:
            stop_if_asked("--json has the settings before this one.")
            rows.append(Row(setting, name, updates.by_name[name], first))
        for turn in range(-arguments.warm_up, arguments.turns):
            for row in rows:
                stop_if_asked("--json has the settings before this one.")
                times = {name: peer.seconds(row.name) for name, peer in peers.items()}
                seconds = row.turn()
                if turn >= 0:
                    row.seconds.append(seconds)
                    for name, of_peer in times.items():
                        row.of_peer.setdefault(name, []).append(of_peer)
            peak.turn()
    finally:
        for peer in peers.values():
            peer.close()
    return rows


TITLES: Mapping[str, tuple[str, str]] = {
    "ms": ("ms", ".0f"),
    "images_per_s": ("images/s", ".1f"),
    "compile_s": ("compile, s", ".1f"),
    "peak_mib": ("peak, MiB", ".0f"),
    "gflop_per_s": ("GFLOP/s", ".0f"),
    "share_of_peak": ("share of peak", ".2f"),
    "eager_ms": ("PyTorch eager, ms", ".0f"),
    "speed_over_eager": ("speed / eager", ".2f"),
    "compiled_ms": ("torch.compile, ms", ".0f"),
    "speed_over_compiled": ("speed / compiled", ".2f"),
}


def table(rows: list[dict[str, Any]]) -> str:
    """The rows as Markdown."""
    shown = [name for name in TITLES if name in rows[0]]
    lines = ["| | update | " + " | ".join(TITLES[name][0] for name in shown) + " |", "|---|---|" + "---|" * len(shown)]
    for row in rows:
        setting = Setting(row["network"], row["size"], row["batch"])
        cells = [format(row[name], TITLES[name][1]) for name in shown]
        lines.append(f"| {setting} | {row['update']} | " + " | ".join(cells) + " |")
    return "\n".join(lines)


def measure(arguments: argparse.Namespace) -> None:
    """Prints the table, and writes it as JSON."""
    jax.config.update("jax_enable_compilation_cache", False)  # else a second run would compile in no time
    settings = [Setting.parsed(text) for text in arguments.settings]
    for setting in settings:
        if arguments.peer_python and setting.network == "resnet_local":
            raise UserError(
                "--settings: resnet_local has no peer in PyTorch; leave out --peer-python, or that network."
            )
    peak = Peak(arguments.dtype)
    all_rows: list[Row] = []
    for setting in settings:
        all_rows += measured(setting, arguments, peak)
        rows = [row.found(peak.flop_per_s) for row in all_rows]
        device = jax.devices()[0].device_kind
        print(f"\n{device}, {arguments.dtype}, {arguments.turns} turns; peak {peak.flop_per_s / 1e9:.0f} GFLOP/s\n")
        print(table(rows), flush=True)
        if arguments.json:
            whole = {
                "device": device,
                "dtype": arguments.dtype,
                "peak_gflop_per_s": peak.flop_per_s / 1e9,
                "rows": rows,
            }
            arguments.json.write_text(json.dumps(whole, indent=1) + "\n")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--settings", nargs="+", default=SETTINGS, help="NETWORK:PIXELS:IMAGES ...")
    parser.add_argument("--updates", nargs="+", choices=UPDATES, default=UPDATES)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--warm-up", type=int, default=1, help="turns before those that count")
    parser.add_argument("--dtype", choices=("float32", "bfloat16"), default="float32")
    parser.add_argument("--peer-python", help="a Python with torch, to compare with")
    parser.add_argument("--peer-compile", action="store_true", help="with torch.compile, too")
    parser.add_argument("--json", type=pathlib.Path, help="where to write the numbers")
    arguments = parser.parse_args()

    def run() -> None:
        if arguments.turns < 1 or arguments.warm_up < 0:
            raise UserError("--turns must be at least 1, and --warm-up at least 0.")
        keep_freed_memory()
        with stop_request("ending after this row"):
            measure(arguments)

    return exit_status(run, on_os_error="is there room?", on_interrupt="--json has the settings that were measured.")


if __name__ == "__main__":
    raise SystemExit(main())
