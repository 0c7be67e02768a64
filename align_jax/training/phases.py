"""The two phases of a run, warm-up and rounds; each is one program: (states, batches, key) -> (states, metrics)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import ml_collections

from align_jax.data.normalise import as_network_input
from align_jax.forward import Batch, Mask
from align_jax.objectives import Metrics
from align_jax.states import States
from align_jax.steps import ClassifierUpdate, align_round, classifier_step
from align_jax.training.method import Method
from align_jax.training.plan import Length


class Phase(NamedTuple):
    """A part of a run with one compiled program.

    Attributes:
      name: "warmup" or "rounds".
      advance: (states, batches, key) -> (states, metrics).
      batches: batches that one call takes.
      steps: classifier updates that one call makes.
    """

    name: str
    advance: Callable[[States, tuple[Batch, ...], jax.Array], tuple[States, Metrics]]
    batches: int
    steps: int


def phases(method: Method, schedule: ml_collections.ConfigDict, length: Length) -> Callable[[int], Phase]:
    """The phase of the update made at a step, by step; nothing is compiled yet."""
    warmup, rounds = warmup_phase(method), rounds_phase(method, schedule.masker_steps, schedule.classifier_steps)
    return lambda step: warmup if step < length.warmup else rounds


def warmup_phase(method: Method) -> Phase:
    """The classifier alone, without the guided terms of its objective."""
    return _classifier_phase("warmup", method.warmup)


def rounds_phase(method: Method, masker_steps: int, classifier_steps: int) -> Phase:
    """The alternation; without a masker, the classifier alone, guided by given masks if there are any."""
    masker = method.masker
    if masker is None:
        return _classifier_phase("rounds", method.classifier, method.given_masks)

    def advance(states: States, batches: tuple[Batch, ...], key: jax.Array) -> tuple[States, Metrics]:
        classifier_state, masker_state = states
        assert masker_state is not None
        classifier_state, masker_state, metrics = align_round(
            method.classifier,
            masker,
            classifier_state,
            masker_state,
            [_network_input(batch) for batch in batches],
            key,
            masker_steps=masker_steps,
            classifier_steps=classifier_steps,
        )
        return (classifier_state, masker_state), metrics

    return Phase("rounds", advance, batches=max(masker_steps, classifier_steps), steps=classifier_steps)


def _classifier_phase(name: str, update: ClassifierUpdate, given_masks: Callable[[Batch], Mask] | None = None) -> Phase:
    """A phase that leaves the masker as it is."""

    def advance(states: States, batches: tuple[Batch, ...], key: jax.Array) -> tuple[States, Metrics]:
        classifier_state, masker_state = states
        batch = _network_input(batches[0])
        classifier_state, metrics = classifier_step(update, classifier_state, batch, key, given_masks)
        return (classifier_state, masker_state), {f"classifier/{term}": mean for term, mean in metrics.items()}

    return Phase(name, advance, batches=1, steps=1)


def _network_input(batch: Batch) -> Batch:
    """The batch as the networks read it, and its images as they came, which are smaller to send between devices."""
    return as_network_input(batch) | {"stored_image": batch["image"]}
