"""What it costs that the allocator hands freed memory back: an ERM step on the CPU, with and without `allocator.py`.

    python -m benchmarks.allocator

Each turn is two processes, one after the other, that take the same steps; the numbers are medians over the turns.
"""

import argparse
import json
import os
import resource
import statistics
import subprocess
import sys
import time
from typing import Any

from align_jax.runtime.interruption import begin, stop_if_asked, stop_request

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.runtime.allocator import CHOSEN, keep_freed_memory

STEPS, WARM_UP, BATCH = 25, 3, 48


def child(size: int, keep: bool) -> dict[str, Any]:
    """Takes the steps in this process, and measures them."""
    if keep and not keep_freed_memory():
        raise UserError("The allocator cannot be told here: it is not the GNU C library's.")
    import jax
    import jax.numpy as jnp
    import optax

    from align_jax import losses
    from align_jax.forward import SaliencySettings
    from align_jax.models.resnet import resnet
    from align_jax.networks import classifier_from_linen
    from align_jax.objectives import term, weighted
    from align_jax.states import create_classifier_state
    from align_jax.steps import ClassifierUpdate, classifier_step

    network = classifier_from_linen(resnet("resnet_small", 5))
    update = ClassifierUpdate(network, weighted(cls=term(losses.cross_entropy)), optax.adam(1e-3), SaliencySettings())
    key, image = jax.random.key(0), jax.random.normal(jax.random.key(1), (BATCH, size, size, 3))
    batch = {"image": image, "label": jnp.arange(BATCH) % 5}
    state = create_classifier_state(network, update.optimizer, key, image[:1])
    step = jax.jit(lambda state, batch: classifier_step(update, state, batch, key), donate_argnums=0)
    for _ in range(WARM_UP):
        state, metrics = step(state, batch)
    jax.block_until_ready((state, metrics))
    before, began = resource.getrusage(resource.RUSAGE_SELF), time.perf_counter()
    for _ in range(STEPS):
        state, metrics = step(state, batch)
    jax.block_until_ready((state, metrics))
    after = resource.getrusage(resource.RUSAGE_SELF)
    return {
        "ms a step": 1000 * (time.perf_counter() - began) / STEPS,
        "page faults a step": (after.ru_minflt - before.ru_minflt) / STEPS,
        "peak MiB": after.ru_maxrss / 1024,
        "loss": float(metrics["loss"][0] / metrics["loss"][1]),
    }


def measure(size: int, turns: int) -> None:
    """Prints the table."""
    environment = {name: value for name, value in os.environ.items() if name not in CHOSEN} | {"JAX_PLATFORMS": "cpu"}
    found: dict[str, list[dict[str, Any]]] = {"leave": [], "keep": []}
    for _ in range(turns):
        for mode, rows in found.items():
            stop_if_asked("nothing is left.")
            command = [sys.executable, "-m", "benchmarks.allocator", f"--size={size}", f"--child={mode}"]
            said = subprocess.run(command, env=environment, stdout=subprocess.PIPE, text=True, check=True).stdout
            rows.append(json.loads(said))
    print(f"resnet_small, {size} pixels, {BATCH} images, ERM; {turns} turns\n")
    print("| | freed memory goes back | is kept | kept / back |\n|---|---|---|---|")
    for name in found["keep"][0]:
        back, kept = (statistics.median(row[name] for row in found[mode]) for mode in ("leave", "keep"))
        ratio = statistics.median(k[name] / b[name] for k, b in zip(found["keep"], found["leave"], strict=True))
        print(f"| {name} | {back:.6g} | {kept:.6g} | {ratio:.3f} |")


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--turns", type=int, default=5)
    parser.add_argument("--size", type=int, default=64)
    parser.add_argument("--child", choices=("keep", "leave"), help="what the benchmark runs itself with")
    arguments = parser.parse_args()

    def run() -> None:
        if arguments.child:
            print(json.dumps(child(arguments.size, arguments.child == "keep")))
            return
        if min(arguments.turns, arguments.size) < 1:
            raise UserError("--turns and --size must be at least 1.")
        with stop_request("ending after this turn"):
            measure(arguments.size, arguments.turns)

    return exit_status(run, on_os_error="is there room?", on_interrupt="nothing was written.")


if __name__ == "__main__":
    raise SystemExit(main())
