"""Trains the backbone: cross-entropy on subgroups, with the step that trains every method's classifier."""

import functools
import itertools
import time
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Key

from align_jax.algorithms.erm import classifier_objective
from align_jax.data.augment import Augmentation
from align_jax.data.normalise import normalise
from align_jax.errors import UserError
from align_jax.forward import Batch
from align_jax.models.resnet import resnet
from align_jax.networks import BatchStats, Params, classifier_from_linen
from align_jax.objectives import Metrics, fetch, merge
from align_jax.optimizers import learning_rate, optimizer
from align_jax.states import ClassifierState, create_classifier_state
from align_jax.steps import ClassifierUpdate, classifier_step
from align_jax.training.progress import Progress
from experiments.pretrain_emoji.emoji import Emoji
from experiments.pretrain_emoji.scenes import Scenes, compose_scenes, hold_out, training_batches

NETWORK = "resnet_small"
SIZE = 64
# Scenes of each emoji of each vendor: about 14,000 to learn from.
SCENES = 8
VALIDATION_SCENES = 4
REPORT_EVERY = 250  # steps
LEARNING_RATE = 2e-3
# DomainBed's, with less change of hue, because colour belongs to the class; as in configs/quickstart.py.
AUGMENTATION = Augmentation(hue=0.05)


class Pretrained(NamedTuple):
    """The pretrained backbone.

    Attributes:
      params, batch_stats: the backbone's; the head is left out, since no other data set has its classes.
      accuracy: on scenes of held-out emoji.
      subgroups, concepts: their numbers, including held-out concepts.
    """

    params: Params
    batch_stats: BatchStats
    accuracy: float
    subgroups: int
    concepts: int


def pretrain(
    emoji: Sequence[Emoji], *, steps: int, seed: int, batch_size: int = 48, scenes: int = SCENES
) -> Pretrained:
    """Trains `resnet_small` to name the subgroup of an emoji on a random background; equal arguments, equal result.

    Args:
      emoji: those to learn from, of all vendors.
      steps: the number of updates, at least 1; the learning rate falls to 0 over them.
      seed: of the scenes, the batches and the initial weights.
      batch_size: scenes in a batch.
      scenes: how many are composed for each emoji that is not held out.

    Raises:
      UserError: too few emoji to fill a batch.
    """
    train, validation = hold_out(emoji)
    if len(train) * scenes < batch_size:
        raise UserError(
            f"The archives have {len(train)} emoji to learn from, too few to fill a batch; fetch them again."
        )
    subgroups = sorted({drawing.subgroup for drawing in emoji})
    concepts = len({drawing.codepoint for drawing in emoji})
    of_train, of_validation, of_batches = (
        np.random.default_rng(child) for child in np.random.SeedSequence(seed).spawn(3)
    )
    progress = Progress("pretraining", steps, 0)
    try:
        progress.say(f"{len(subgroups)} subgroups, {len(train)} drawings to learn from, {len(validation)} held out")
        pool = compose_scenes(train, subgroups, scenes, SIZE, of_train)
        held_out = compose_scenes(validation, subgroups, VALIDATION_SCENES, SIZE, of_validation)
        progress.say(f"{len(pool.label)} scenes composed, {len(held_out.label)} for validation")

        network = classifier_from_linen(resnet(NETWORK, len(subgroups)))
        adam = optimizer("adam", learning_rate("cosine", LEARNING_RATE, steps), 0.0)
        update = ClassifierUpdate(network, classifier_objective(), adam)
        key = jax.random.key(seed)
        state = create_classifier_state(network, adam, key, jnp.zeros((1, SIZE, SIZE, 3), jnp.float32))
        step_program = jax.jit(functools.partial(_step, update), donate_argnums=0)
        logits_program = jax.jit(lambda params, stats, image: network.logits(params, stats, normalise(image)))

        batches = training_batches(pool, batch_size, of_batches, AUGMENTATION)
        began, reported, means = time.perf_counter(), 0, Metrics()
        for step, batch in enumerate(itertools.islice(batches, steps), 1):
            state, metrics = step_program(state, batch._asdict(), key)
            means = merge(means, metrics)
            progress.advance(1)
            if step % REPORT_EVERY == 0 or step == steps:
                values = fetch(means)
                shown = {f"classifier/{name}": values[name] for name in ("loss", "accuracy")}
                progress.show(step, shown, (step - reported) * batch_size / (time.perf_counter() - began))
                accuracy = _accuracy(logits_program, state, held_out, batch_size)
                progress.say(f"step {step}/{steps}  accuracy on held-out emoji {accuracy:.3f}")
                began, reported, means = time.perf_counter(), step, Metrics()
    finally:
        progress.close()
    backbone = {name: layer for name, layer in state.params.items() if name != "fc"}
    return Pretrained(backbone, state.batch_stats, accuracy, len(subgroups), concepts)


def _accuracy(
    logits: Callable[..., Float[Array, "b k"]], state: ClassifierState, held_out: Scenes, batch_size: int
) -> float:
    """The share of held-out scenes with the right subgroup."""
    correct = 0
    for start in range(0, len(held_out.label), batch_size):
        rows = slice(start, start + batch_size)
        found = logits(state.params, state.batch_stats, held_out.image[rows])
        correct += int((np.asarray(found).argmax(-1) == held_out.label[rows]).sum())
    return correct / len(held_out.label)


def _step(
    update: ClassifierUpdate, state: ClassifierState, batch: Batch, key: Key[Array, ""]
) -> tuple[ClassifierState, Metrics]:
    return classifier_step(update, state, {**batch, "image": normalise(batch["image"])}, key)
