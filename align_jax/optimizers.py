"""Optimisers and learning-rate schedules by name, all of them optax's."""

from collections.abc import Callable

import optax

OPTIMIZERS: dict[str, Callable[..., optax.GradientTransformation]] = {
    "adam": lambda lr, weight_decay: optax.chain(optax.add_decayed_weights(weight_decay), optax.adam(lr)),
    "adamw": lambda lr, weight_decay: optax.adamw(lr, weight_decay=weight_decay),
    "sgd": lambda lr, weight_decay: optax.chain(optax.add_decayed_weights(weight_decay), optax.sgd(lr, momentum=0.9)),
}

SCHEDULES: dict[str, Callable[[float, int], optax.Schedule]] = {
    "constant": lambda lr, steps: optax.constant_schedule(lr),
    "cosine": lambda lr, steps: optax.cosine_decay_schedule(lr, max(steps, 1)),
}


def learning_rate(schedule: str, lr: float, steps: int) -> optax.Schedule:
    """Learning rate as a function of the optimiser's own step count; `cosine` reaches 0 after `steps`."""
    return SCHEDULES[schedule](lr, steps)


def optimizer(name: str, learning_rate: optax.Schedule, weight_decay: float) -> optax.GradientTransformation:
    """An optimiser: `adam` (decay added to the gradient, as PyTorch's), `adamw` (decoupled), `sgd` (momentum 0.9)."""
    return OPTIMIZERS[name](learning_rate, weight_decay)
