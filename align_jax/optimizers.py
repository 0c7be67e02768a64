"""Optimisers and learning-rate schedules by name. The optimisers are optax's; the learning rate is applied last."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Int

OPTIMIZERS: dict[str, Callable[[float], optax.GradientTransformation]] = {
    "adam": lambda weight_decay: optax.chain(optax.add_decayed_weights(weight_decay), optax.scale_by_adam()),
    "adamw": lambda weight_decay: optax.chain(optax.scale_by_adam(), optax.add_decayed_weights(weight_decay)),
    "sgd": lambda weight_decay: optax.chain(optax.add_decayed_weights(weight_decay), optax.trace(decay=0.9)),
}

SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda lr, steps: optax.constant_schedule(lr),
    "cosine": lambda lr, steps: optax.cosine_decay_schedule(lr, max(steps, 1)),
}


def learning_rate(schedule: str, lr: float, steps: int) -> optax.Schedule:
    """The learning rate as a function of the optimiser's own step count; `cosine` reaches 0 after `steps`."""
    return SCHEDULES[schedule](lr, steps)


class RestartingState(NamedTuple):
    """The number of updates so far, and the inner optimiser's state."""

    updates: Int[Array, ""]
    inner: Any


def restarting(inner: optax.GradientTransformation, at: int) -> optax.GradientTransformation:
    """An optimiser that resets its moments before update number `at`, as if it were new.

    When a loss's scale jumps, as at IRM's switch of the penalty's weight, the old moments fit the old scale.
    """

    def init(params: optax.Params) -> RestartingState:
        return RestartingState(jnp.zeros((), jnp.int32), inner.init(params))

    def update(
        updates: optax.Updates, state: RestartingState, params: optax.Params | None = None
    ) -> tuple[optax.Updates, RestartingState]:
        fresh = inner.init(updates if params is None else params)
        kept = jax.tree.map(lambda new, old: jnp.where(state.updates == at, new, old), fresh, state.inner)
        updates, inner_state = inner.update(updates, kept, params)
        return updates, RestartingState(state.updates + 1, inner_state)

    return optax.GradientTransformation(init, update)


def optimizer(
    name: str, learning_rate: optax.Schedule, weight_decay: float, restart: int | None = None
) -> optax.GradientTransformation:
    """An optimiser: `adam` (decay added to the gradient, as PyTorch's), `adamw` (decoupled), `sgd` (momentum 0.9).

    Args:
      name: one of `OPTIMIZERS`.
      learning_rate: by step; a restart does not reset it.
      weight_decay: its strength.
      restart: the update before which the moments are reset, or None.
    """
    direction = OPTIMIZERS[name](weight_decay)
    if restart is not None:
        direction = restarting(direction, restart)
    return optax.chain(direction, optax.scale_by_learning_rate(learning_rate))
