"""What training changes, as frozen pytrees: nothing of a network or an optimiser is hidden anywhere else.

The fields are typed loosely because a pytree's leaves are not always arrays: they may be shapes, shardings or hosts'
copies. In training `step` is an `Int[Array, ""]`.
"""

from typing import Any

import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Key

from align_jax.networks import BatchStats, Classifier, Masker, Params


@struct.dataclass
class ClassifierState:
    """The classifier f: `step` counts its updates, which is what budgets, schedules and warm-up are measured in."""

    step: Any
    params: Params
    batch_stats: BatchStats
    optimizer_state: Any


@struct.dataclass
class MaskerState:
    """The masker M: `step` counts its own updates."""

    step: Any
    params: Params
    batch_stats: BatchStats
    optimizer_state: Any


# Both networks of a run; the masker's is None where none is trained.
States = tuple[ClassifierState, MaskerState | None]


def create_classifier_state(
    classifier: Classifier,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    image: Float[Array, "b h w c"],
) -> ClassifierState:
    """A classifier at step 0; `image` gives shapes only."""
    params, batch_stats = classifier.init(key, image)
    return ClassifierState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))


def create_masker_state(
    masker: Masker,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    image: Float[Array, "b h w c"],
) -> MaskerState:
    """A masker at step 0; `image` gives shapes only."""
    params, batch_stats = masker.init(key, image)
    return MaskerState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))
