"""All that training changes, as frozen pytrees: networks and optimisers keep no other state.

The fields are typed loosely because a pytree's leaves are not always arrays: they may be shapes, shardings or copies on
the host. In training `step` is an `Int[Array, ""]`.
"""

from collections.abc import Mapping
from typing import Any

import jax.numpy as jnp
import optax
from flax import struct
from jaxtyping import Array, Float, Key

from align_jax.networks import BatchStats, Classifier, Masker, Params


@struct.dataclass
class ClassifierState:
    """The classifier f. `step` counts its updates; budgets, schedules and warm-up are measured in them.

    `carried` is the objective's own state (`objectives.Carried`), by name; most methods have none.
    """

    step: Any
    params: Params
    batch_stats: BatchStats
    optimizer_state: Any
    carried: Any = struct.field(default_factory=dict)


@struct.dataclass
class MaskerState:
    """The masker M. `step` counts its own updates."""

    step: Any
    params: Params
    batch_stats: BatchStats
    optimizer_state: Any


# The states of both networks of a run; the masker's is None where none is trained.
States = tuple[ClassifierState, MaskerState | None]


def create_classifier_state(
    classifier: Classifier,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    image: Float[Array, "b h w c"],
    carried: Mapping[str, Array] | None = None,
) -> ClassifierState:
    """A classifier at step 0; only the shape of `image` matters, `carried` is `Objective.initial_carried(sizes)`."""
    params, batch_stats = classifier.init(key, image)
    return ClassifierState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params), dict(carried or {}))


def create_masker_state(
    masker: Masker,
    optimizer: optax.GradientTransformation,
    key: Key[Array, ""],
    image: Float[Array, "b h w c"],
) -> MaskerState:
    """A masker at step 0; only the shape of `image` matters."""
    params, batch_stats = masker.init(key, image)
    return MaskerState(jnp.zeros((), jnp.int32), params, batch_stats, optimizer.init(params))
