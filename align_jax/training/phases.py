"""The two phases of a run, warm-up and rounds, each one program: (states, batches, key) -> (states, metrics)."""

from collections.abc import Callable
from typing import NamedTuple

import jax
import ml_collections

from align_jax.data.normalise import as_network_input
from align_jax.forward import Batch
from align_jax.objectives import Metrics
from align_jax.states import States
from align_jax.steps import align_round, classifier_step
from align_jax.training.method import Method
from align_jax.training.plan import Length


class Phase(NamedTuple):
    """A stretch of a run with one compiled program.

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


class Phases(NamedTuple):
    """Warm-up, then rounds."""

    warmup: Phase
    rounds: Phase
    length: Length

    def at(self, step: int) -> Phase:
        """The phase of the update that is made at a step."""
        return self.warmup if step < self.length.warmup else self.rounds

    def taken(self, step: int) -> int:
        """How many steps the call that led to a step made."""
        return self.at(step - 1).steps


def build_phases(method: Method, schedule: ml_collections.ConfigDict, length: Length) -> Phases:
    """Both phases of a run, not compiled yet."""
    rounds = rounds_phase(method, schedule.masker_steps, schedule.classifier_steps)
    return Phases(warmup_phase(method), rounds, length)


def warmup_phase(method: Method) -> Phase:
    """f alone, on the objective without its guided terms."""

    def advance(states: States, batches: tuple[Batch, ...], key: jax.Array) -> tuple[States, Metrics]:
        state, metrics = classifier_step(method.warmup, states[0], as_network_input(batches[0]), key)
        return (state, states[1]), {f"classifier/{name}": mean for name, mean in metrics.items()}

    return Phase("warmup", advance, batches=1, steps=1)


def rounds_phase(method: Method, masker_steps: int, classifier_steps: int) -> Phase:
    """The alternation; without a masker, f alone on its whole objective, guided by given masks if there are any."""
    if method.masker is None:

        def guided(states: States, batches: tuple[Batch, ...], key: jax.Array) -> tuple[States, Metrics]:
            batch = as_network_input(batches[0])
            state, metrics = classifier_step(method.classifier, states[0], batch, key, method.given_masks)
            return (state, None), {f"classifier/{name}": mean for name, mean in metrics.items()}

        return Phase("rounds", guided, batches=1, steps=1)
    masker = method.masker

    def advance(states: States, batches: tuple[Batch, ...], key: jax.Array) -> tuple[States, Metrics]:
        classifier_state, masker_state = states
        assert masker_state is not None
        classifier_state, masker_state, metrics = align_round(
            method.classifier,
            masker,
            classifier_state,
            masker_state,
            [as_network_input(batch) for batch in batches],
            key,
            masker_steps=masker_steps,
            classifier_steps=classifier_steps,
        )
        return (classifier_state, masker_state), metrics

    return Phase("rounds", advance, batches=max(masker_steps, classifier_steps), steps=classifier_steps)
