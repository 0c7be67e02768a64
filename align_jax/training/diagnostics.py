"""Signs that training has gone wrong: losses that are not finite, masks that collapse."""

import math
from collections.abc import Callable
from typing import Any

import jax
import jax.numpy as jnp
from jaxtyping import Array

from align_jax.errors import UserError
from align_jax.objectives import Metrics
from align_jax.states import States

# A mean mask outside of these says nothing about any image.
COLLAPSED = (0.02, 0.98)


class Pending:
    """Metrics of updates that were dispatched but not looked at: fetching them would make the device wait."""

    def __init__(self) -> None:
        self._metrics: list[tuple[int, Metrics]] = []

    def add(self, step: int, metrics: Metrics) -> None:
        """Remembers the metrics of the update that was made at `step`."""
        self._metrics.append((step, metrics))

    def flush(self, last_good_checkpoint: Callable[[int], str]) -> dict[str, float]:
        """The means over all updates since the last flush.

        Raises:
          UserError: a loss or a gradient was not finite; names the first such step.
        """
        fetched = jax.device_get(self._metrics)
        self._metrics = []
        totals: dict[str, tuple[float, float]] = {}
        for step, metrics in fetched:
            for name, mean in metrics.items():
                value = float(mean.total)
                if not math.isfinite(value):
                    raise diverged(name, value, step, last_good_checkpoint(step))
                total, count = totals.get(name, (0.0, 0.0))
                totals[name] = total + value, count + float(mean.examples)
        return {name: total / count for name, (total, count) in totals.items()}


@jax.jit
def _all_finite(parameters: Any) -> Array:
    return jnp.all(jnp.array([jnp.isfinite(leaf).all() for leaf in jax.tree.leaves(parameters)]))


def check_parameters(states: States, step: int, last_good_checkpoint: Callable[[int], str]) -> None:
    """Refuses to save what a diverged update left: its loss, taken before the update, may still have been finite.

    Raises:
      UserError: a parameter or a BatchNorm statistic is not finite after this step.
    """
    if not _all_finite([(state.params, state.batch_stats) for state in states if state is not None]):
        raise diverged("a parameter", "not finite", step, last_good_checkpoint(step))


def diverged(what: str, value: object, step: int, last_good_checkpoint: str) -> UserError:
    """The one sentence for training that diverged."""
    return UserError(
        f"Training diverged: {what} is {value} at step {step}; the last good checkpoint is {last_good_checkpoint}. "
        "Lower config.optim.lr (or config.masker_optim.lr) and train in another --workdir."
    )


class CollapseWarning:
    """Says so when masks go to 0 or to 1 everywhere: such masks say nothing, and guide the classifier astray."""

    def __init__(self, say: Callable[[str], None]) -> None:
        self._say, self._collapsed = say, False

    def look(self, step: int, values: dict[str, float]) -> None:
        """Warns once each time the mean mask leaves [0.02, 0.98]."""
        mean = values.get("masker/mask_mean")
        if mean is None:
            return
        collapsed = not COLLAPSED[0] <= mean <= COLLAPSED[1]
        if collapsed and not self._collapsed:
            everywhere, remedy = (
                ("0", "lower config.align.masker.sparsity or config.masker_optim.lr")
                if mean < 0.5
                else ("1", "raise config.align.masker.sparsity")
            )
            self._say(
                f"WARNING step {step}: the masks have collapsed, they are {everywhere} almost everywhere (mean "
                f"{mean:.3f}), so they guide nothing; {remedy}."
            )
        self._collapsed = collapsed
