"""Signs that training has gone wrong: losses that are not finite, and masks that have collapsed."""

import math
from collections.abc import Callable, Mapping, Sequence
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from align_jax.errors import UserError
from align_jax.objectives import Metrics
from align_jax.states import States

# Masks whose mean lies outside this range say nothing about any image.
COLLAPSED = (0.02, 0.98)


def summed(
    before: Mapping[str, tuple[float, float]],
    updates: Sequence[tuple[int, Metrics]],
    last_good_checkpoint: Callable[[int], str],
) -> dict[str, tuple[float, float]]:
    """Adds updates to sums, by the metric's name: its total, and the number of examples that the total is over.

    Args:
      before: sums of earlier updates.
      updates: each with its step. They are fetched from the device, which waits for them.
      last_good_checkpoint: says what to go back to if training diverged at a step.

    Raises:
      UserError: a loss or a gradient was not finite; names the first such step.
    """
    sums = dict(before)
    for step, metrics in jax.device_get(updates):
        for name, mean in metrics.items():
            value = float(mean.total)
            if not math.isfinite(value):
                raise diverged(name, value, step, last_good_checkpoint)
            total, examples = sums.get(name, (0.0, 0.0))
            sums[name] = total + value, examples + float(mean.examples)
    return sums


@jax.jit
def _all_finite(parameters: Any) -> Array:
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters)]))


def check_parameters(states: States, step: int, last_good_checkpoint: Callable[[int], str]) -> None:
    """Checks the states before they are saved: an update can diverge although its loss, taken before it, was finite.

    Raises:
      UserError: a parameter or a BatchNorm statistic is not finite.
    """
    if not _all_finite([(state.params, state.batch_stats) for state in states if state is not None]):
        raise diverged("a parameter", "not finite", step, last_good_checkpoint)


def diverged(what: str, value: object, step: int, last_good_checkpoint: Callable[[int], str]) -> UserError:
    """The error for training that diverged."""
    return UserError(
        f"Training diverged: {what} is {value} at step {step}; the last good checkpoint is "
        f"{last_good_checkpoint(step)}. Lower config.optim.lr (or config.masker_optim.lr) and train in another "
        "--workdir."
    )


class CollapseWarning:
    """Warns when the masks go to 0 or to 1 everywhere: such masks guide the classifier astray."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._collapsed = say, False

    def look(self, step: int, values: dict[str, float]) -> None:
        """Warns once each time the mean of the masks leaves `COLLAPSED`."""
        mean = values.get("masker/mask_mean")
        if mean is None:
            return
        collapsed = not COLLAPSED[0] <= mean <= COLLAPSED[1]
        if collapsed and not self._collapsed:
            value, remedy = ("1", "raise config.align.masker.sparsity")
            if mean < 0.5:
                value, remedy = "0", "lower config.align.masker.sparsity or config.masker_optim.lr"
            self._say(
                f"WARNING step {step}: the masks have collapsed: they are {value} almost everywhere (mean {mean:.3f}) "
                f"and guide nothing; {remedy}."
            )
        self._collapsed = collapsed
