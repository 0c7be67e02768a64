"""The memory that each update needs, by XLA's analysis of the compiled program.

    python -m benchmarks.memory
    python -m benchmarks.memory --networks=resnet18 --dtypes=float32 --accumulate=1 --remat=off

A number is the MiB of arguments, results and temporary values, less the new states, which lie where the old ones were.
Programs are compiled for this machine's first device, one after the other, from shapes alone. Nothing is run.
"""

import argparse
import itertools
from collections.abc import Sequence
from typing import Any, NamedTuple

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError, shown
from align_jax.micro_batches import MicroBatches
from align_jax.runtime.sharding import compiler_options, data_mesh
from benchmarks.four_updates import UPDATES, FourUpdates

# By network: the side of the images in pixels, and the batch.
SIZES = {"resnet_small": (64, 48), "resnet18": (128, 32), "resnet50": (224, 32)}
DTYPES = ("float32", "bfloat16")
COUNTS = ("1", "4")
REMAT = ("off", "on")


class Variant(NamedTuple):
    """How the networks of an update are computed, as the settings of that name."""

    dtype: str = "float32"
    accumulate: int = 1
    remat: bool = False


def needed(update: str, name: str, size: int, batch_size: int, variant: Variant) -> int:
    """The bytes that an update, one of `UPDATES`, needs on a device."""
    updates = FourUpdates(
        name, dtype=variant.dtype, remat=variant.remat, micro_batches=MicroBatches(variant.accumulate)
    )
    first = jax.eval_shape(lambda: updates.first(size, batch_size))
    step, reads, states = updates.by_name[update]
    # Memory is planned before machine code is made, whose quality does not matter here.
    options: dict[str, Any] = {"xla_backend_optimization_level": 0} | compiler_options(data_mesh(jax.devices()[:1]))
    program = jax.jit(step, donate_argnums=tuple(range(states)))
    compiled = program.lower(*(first[place] for place in reads)).compile(options)
    found: Any = compiled.memory_analysis()
    if found is None:
        raise UserError(
            f"XLA does not say what memory a program needs on {jax.devices()[0].platform}; use another one."
        )
    total = found.temp_size_in_bytes + found.argument_size_in_bytes + found.output_size_in_bytes
    return int(total - found.alias_size_in_bytes)


def show(networks: Sequence[str], variants: Sequence[Variant], updates: Sequence[str]) -> None:
    """Prints the table, row by row."""
    print("| network, pixels, batch | dtype | accumulate | remat | " + " | ".join(f"{u}, MiB" for u in updates) + " |")
    print("|---" * (4 + len(updates)) + "|")
    for name, variant in itertools.product(networks, variants):
        size, batch_size = SIZES[name]
        row = f"| {name}, {size}, {batch_size} | {variant.dtype} | {variant.accumulate} | "
        print(row + ("on" if variant.remat else "off"), end="", flush=True)
        base = None
        for update in updates:
            stop_if_asked("nothing is left.")
            count = needed(update, name, size, batch_size, variant)
            base = base or count
            print(f" | {count / 2**20:,.0f} ({count / base:.2f})", end="", flush=True)
        print(" |", flush=True)


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    choices = {"networks": tuple(SIZES), "dtypes": DTYPES, "accumulate": COUNTS, "remat": REMAT, "updates": UPDATES}
    for flag, valid in choices.items():
        parser.add_argument(f"--{flag}", default=",".join(valid), help=f"of {', '.join(valid)}; all by default")
    arguments = parser.parse_args()

    def run() -> None:
        chosen = {flag: getattr(arguments, flag).split(",") for flag in choices}
        for flag, values in chosen.items():
            for value in values:
                if value not in choices[flag]:
                    raise UserError(f"--{flag} has {shown(value)}; choose from {', '.join(choices[flag])}.")
        variants = [
            Variant(dtype, int(count), remat == "on")
            for dtype, count, remat in itertools.product(chosen["dtypes"], chosen["accumulate"], chosen["remat"])
        ]
        with stop_request("ending after this program"):
            show(chosen["networks"], variants, chosen["updates"])

    return exit_status(run, on_os_error="is there room?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    raise SystemExit(main())
