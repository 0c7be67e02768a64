"""The pure updates of ALIGN, (states, batch) -> (states, metrics): the paper on one screen.

Nothing here is compiled or placed on devices: wrap a step in `jax.jit` (see `sharding.compile_step`, which can donate
the states). Randomness is a function of (key, step): the key is the run's, and is never stored in a state. Scopes have
the paper's names, so that a profile and the compiled program read like it; they change nothing that is computed.
"""

import dataclasses
from collections.abc import Callable, Sequence
from typing import Any, NamedTuple, TypeVar

import jax
import jax.numpy as jnp
import optax
from jaxtyping import Array, Float, Key

from align_jax.forward import Batch, ClassifierForward, Image, Mask, MaskerForward, SaliencySettings
from align_jax.micro_batches import WHOLE, MicroBatches, function_in_micro_batches, in_micro_batches
from align_jax.networks import BatchStats, Classifier, Masker, Params
from align_jax.objectives import Mean, Metrics, Objective, merge
from align_jax.states import ClassifierState, MaskerState
from align_jax.swaps import SwapSettings

State = TypeVar("State", ClassifierState, MaskerState)


class ClassifierUpdate(NamedTuple):
    """What stays the same over a classifier's updates: the network, its objective L_clf and the optimiser.

    `num_domains` is the number of training domains, and `num_groups` that of their pairs of class and group, for
    objectives over them. `micro_batches` says in how many parts the network sees a batch.
    """

    network: Classifier
    objective: Objective
    optimizer: optax.GradientTransformation
    saliency_settings: SaliencySettings = SaliencySettings()
    num_domains: int = 1
    num_groups: int = 1
    swap_settings: SwapSettings = SwapSettings()
    micro_batches: MicroBatches = WHOLE


class MaskerUpdate(NamedTuple):
    """What stays the same over a masker's updates: the network, its objective L_mask, the optimiser and the fill.

    With `swap_settings`, other images replace what the mask removes, and the fill is not used. `micro_batches` says in
    how many parts both networks see a batch.
    """

    network: Masker
    objective: Objective
    optimizer: optax.GradientTransformation
    fill: Callable[[Image], Image]
    swap_settings: SwapSettings | None = None
    micro_batches: MicroBatches = WHOLE


def classifier_loss(
    update: ClassifierUpdate,
    params: Params,
    state: ClassifierState,
    batch: Batch,
    key: Key[Array, ""],
    masks: Callable[[Batch], Mask] | None,
) -> tuple[Float[Array, ""], tuple[Metrics, BatchStats, dict[str, Array]]]:
    """L_clf = L_cls + l3 * L_egl + l4 * L_reg, differentiated in `params`, which replace those of `state`.

    Returns:
      The loss, and (metrics, new BatchNorm statistics, new carried state).

    Source: ALIGN, "Classifier objective".
    """
    forward = ClassifierForward(
        in_micro_batches(update.network, update.micro_batches),
        params,
        state.batch_stats,
        batch,
        jax.random.fold_in(key, state.step),
        masks,
        update.saliency_settings,
        update.num_domains,
        update.num_groups,
        update.swap_settings,
    )
    loss, metrics, carried = update.objective(forward, state.step, state.carried)
    correct = (forward.logits.argmax(-1) == forward.label).astype(jnp.float32)
    metrics["accuracy"] = Mean(correct.sum(), jnp.float32(correct.size))
    return loss, (metrics, forward.new_batch_stats, carried)


def masker_loss(
    update: MaskerUpdate,
    params: Params,
    state: MaskerState,
    batch: Batch,
    key: Key[Array, ""],
    frozen_logits: Callable[[Image], Float[Array, "b k"]],
) -> tuple[Float[Array, ""], tuple[Metrics, BatchStats]]:
    """L_mask = L_dist + l1 * L_sparsity + l2 * L_smooth, differentiated in `params`.

    Returns:
      The loss, and (metrics, new BatchNorm statistics).

    Source: ALIGN, "Masker objective".
    """
    key = jax.random.fold_in(key, state.step)
    forward = MaskerForward(
        in_micro_batches(update.network, update.micro_batches),
        params,
        state.batch_stats,
        batch,
        key,
        function_in_micro_batches(frozen_logits, update.micro_batches),
        update.fill,
        update.swap_settings,
    )
    loss, metrics, _ = update.objective(forward, state.step)
    mean = forward.mask.astype(jnp.float32).mean((1, 2, 3))
    metrics["mask_mean"] = Mean(mean.sum(), jnp.float32(mean.size))
    return loss, (metrics, forward.new_batch_stats)


def classifier_step(
    update: ClassifierUpdate,
    state: ClassifierState,
    batch: Batch,
    key: Key[Array, ""],
    masks: Callable[[Batch], Mask] | None = None,
) -> tuple[ClassifierState, Metrics]:
    """One update of f with M frozen.

    Args:
      update: network, objective and optimiser.
      state: the classifier's state; may be donated.
      batch: `image` normalised, `label`, and whatever the objective's terms or `masks` read.
      key: the run's key; this update uses `fold_in(key, state.step)`.
      masks: from the batch to the guiding masks; None in warm-up and for methods without guidance.

    Returns:
      The new state, and each term's value with `loss`, `accuracy` and `gradient_norm`.

    Raises:
      ValueError: a term asks for a quantity that this step was not given, such as `mask` without `masks`.
    """
    with jax.named_scope("classifier"):
        state, metrics, (carried,) = _updated(
            state, update.optimizer, lambda params: classifier_loss(update, params, state, batch, key, masks)
        )
    return dataclasses.replace(state, carried=carried), metrics


def masker_step(
    update: MaskerUpdate,
    state: MaskerState,
    batch: Batch,
    key: Key[Array, ""],
    frozen_logits: Callable[[Image], Float[Array, "b k"]],
) -> tuple[MaskerState, Metrics]:
    """One update of M with f frozen.

    Args:
      update: network, objective, optimiser and fill.
      state: the masker's state; may be donated.
      batch: `image` normalised, and `label`.
      key: the run's key; this update uses `fold_in(key, state.step)`, and shares no random draw with f's.
      frozen_logits: the classifier, on its stored BatchNorm statistics.

    Returns:
      The new state, and each term's value with `loss`, `mask_mean` and `gradient_norm`.
    """
    with jax.named_scope("masker"):
        state, metrics, _ = _updated(
            state, update.optimizer, lambda params: masker_loss(update, params, state, batch, key, frozen_logits)
        )
    return state, metrics


def align_round(
    classifier: ClassifierUpdate,
    masker: MaskerUpdate,
    classifier_state: ClassifierState,
    masker_state: MaskerState,
    batches: Sequence[Batch],
    key: Key[Array, ""],
    *,
    masker_steps: int = 1,
    classifier_steps: int = 1,
) -> tuple[ClassifierState, MaskerState, Metrics]:
    """One round of the alternation: M with f fixed, then f with M fixed.

    Args:
      classifier: f's network, objective and optimiser.
      masker: M's network, objective, optimiser and fill.
      classifier_state: f's state; may be donated.
      masker_state: M's state; may be donated.
      batches: max(masker_steps, classifier_steps) batches. The updates of either network start with the first one, so
        at 1 : 1 both use the same batch.
      key: the run's key.
      masker_steps: updates of M in a round.
      classifier_steps: updates of f in a round.

    Returns:
      Both new states, and both networks' metrics over the round's updates, under `masker/` and `classifier/`.

    Raises:
      ValueError: the number of batches is not max(masker_steps, classifier_steps).

    Source: ALIGN, "Schedule".
    """
    if len(batches) != max(masker_steps, classifier_steps):
        raise ValueError(
            f"A round of {masker_steps} masker and {classifier_steps} classifier updates takes "
            f"{max(masker_steps, classifier_steps)} batches, not {len(batches)}."
        )
    metrics: Metrics = {}
    params, batch_stats = classifier_state.params, classifier_state.batch_stats
    for batch in batches[:masker_steps]:
        masker_state, new = masker_step(
            masker, masker_state, batch, key, lambda image: classifier.network.logits(params, batch_stats, image)
        )
        metrics = merge(metrics, {f"masker/{name}": mean for name, mean in new.items()})
    # Without the barrier XLA interleaves the two phases, and what it keeps for both gradients lies in memory at once.
    masker_state, classifier_state, batches = jax.lax.optimization_barrier((masker_state, classifier_state, batches))
    masks = learned_masks(in_micro_batches(masker.network, masker.micro_batches), masker_state)
    for batch in batches[:classifier_steps]:
        classifier_state, new = classifier_step(classifier, classifier_state, batch, key, masks)
        metrics = merge(metrics, {f"classifier/{name}": mean for name, mean in new.items()})
    return classifier_state, masker_state, metrics


def _updated(
    state: State,
    optimizer: optax.GradientTransformation,
    loss: Callable[[Params], tuple[Float[Array, ""], tuple[Any, ...]]],
) -> tuple[State, Metrics, tuple[Any, ...]]:
    """The state after one step down a loss, the metrics, and what the loss returned after the BatchNorm statistics."""
    (_, (metrics, batch_stats, *others)), gradient = jax.value_and_grad(loss, has_aux=True)(state.params)
    metrics["gradient_norm"] = Mean(optax.tree.norm(gradient), jnp.float32(1))
    with jax.named_scope("optimizer"):
        changes, optimizer_state = optimizer.update(gradient, state.optimizer_state, state.params)
        params = optax.apply_updates(state.params, changes)
    updated = dataclasses.replace(
        state, step=state.step + 1, params=params, batch_stats=batch_stats, optimizer_state=optimizer_state
    )
    return updated, metrics, tuple(others)


def learned_masks(masker: Masker, state: MaskerState) -> Callable[[Batch], Mask]:
    """A function from a batch to M(x), with M frozen."""
    return lambda batch: masker.mask(state.params, state.batch_stats, batch["image"], False, None)[0]
