"""What a run's clock costs, and whether it tells waiting for data from waiting that costs nothing.

    python -m benchmarks.clock

A batch is a pause, and an update a program of matrix products. The loop runs ahead of the device, as training does.
"""

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import time
from contextlib import closing

import jax
import jax.numpy as jnp

from align_jax.training.clock import Clock

UPDATES = 12
TURNS = 3000


@jax.jit
def update(x: jax.Array) -> jax.Array:
    """A tenth of a second on one core, or so."""
    return jax.lax.fori_loop(0, 40, lambda _, x: 1e-3 * x @ x, x)


def cost() -> float:
    """Microseconds of the loop's thread and of the clock's for an update, beside the update."""
    done = jnp.ones(3).block_until_ready()
    with closing(Clock()) as clock:
        began = time.process_time()
        for step in range(TURNS):
            with clock.part("compute"), jax.profiler.StepTraceAnnotation("train", step_num=step):
                with clock.waiting_for_data():
                    pass
                clock.given(done)
        return 1e6 * (time.process_time() - began) / TURNS


def shares(pause: float) -> tuple[float, float]:
    """The share of the time in which the loop waited for a batch, and the share that the clock charges to `data`."""
    x, waited = jnp.ones((384, 384)).block_until_ready(), 0.0
    with closing(Clock()) as clock:
        with clock.part("compute"):
            for _ in range(UPDATES):
                began = time.monotonic()
                with clock.waiting_for_data():
                    time.sleep(pause)
                waited += time.monotonic() - began
                x = update(x)
                clock.given(x)
            x.block_until_ready()
        seconds = clock.timing()
    whole = seconds["data_s"] + seconds["compute_s"]
    return waited / whole, seconds["data_s"] / whole


def main() -> None:
    """Prints both."""
    print(f"the clock: {cost():.1f} microseconds of processor time an update")
    x = update(jnp.ones((384, 384))).block_until_ready()
    began = time.monotonic()
    update(x).block_until_ready()
    takes = time.monotonic() - began
    for factor in (0.3, 3.0):
        waited, data = shares(factor * takes)
        print(
            f"a batch takes {factor:g} x as long as an update: the loop waits {100 * waited:.0f} % of its time, "
            f"and {100 * data:.0f} % are charged to data"
        )


if __name__ == "__main__":
    main()
