"""The networks, objectives and optimisers of a run, from its plan."""

from collections.abc import Callable
from typing import NamedTuple

import optax

from align_jax.algorithms import align
from align_jax.fills import FILLS
from align_jax.forward import Batch, Mask, SaliencySettings
from align_jax.guidance import given_masks
from align_jax.micro_batches import MicroBatches
from align_jax.models.build import build_classifier, build_masker
from align_jax.optimizers import learning_rate, optimizer
from align_jax.steps import ClassifierUpdate, MaskerUpdate
from align_jax.training.plan import Length, Plan


class Method(NamedTuple):
    """What stays the same throughout a run.

    Attributes:
      classifier: the classifier's update in the rounds.
      warmup: its update in warm-up: the same without the guided terms.
      masker: the masker's update, or None if no masker is trained.
      given_masks: from a batch to the masks that guide, or None if they are learned or there are none.
      learning_rate: the classifier's, by step.
    """

    classifier: ClassifierUpdate
    warmup: ClassifierUpdate
    masker: MaskerUpdate | None
    given_masks: Callable[[Batch], Mask] | None
    learning_rate: optax.Schedule


def build_method(plan: Plan, num_classes: int, num_domains: int, length: Length, num_groups: int = 1) -> Method:
    """The method that a plan names, for so many classes, training domains, and pairs of class and group."""
    config, algorithm, objective = plan.config, plan.algorithm, plan.objective
    before = objective.without(*algorithm.guided_terms)
    if algorithm.warmup_objective is not None:
        before = algorithm.warmup_objective(config).without(*algorithm.guided_terms)
    if algorithm.warms_up and config.align.delay + config.align.ramp:
        objective = objective.ramped(before, length.warmup + config.align.delay, config.align.ramp)
    schedule = learning_rate(config.optim.schedule, config.optim.lr, length.steps)
    micro_batches = MicroBatches(config.schedule.accumulate, num_domains)
    restart = length.warmup if algorithm.anew(config) else algorithm.restart(config)
    warmup = ClassifierUpdate(
        build_classifier(config, num_classes),
        before,
        optimizer(config.optim.name, schedule, config.optim.weight_decay, restart),
        SaliencySettings(
            # DRE's code, which `as_published` follows, takes the channel weights as constants.
            "constant" if config.align.classifier.as_published else config.align.alpha,
            config.align.normalise,
            config.align.mixing_concentration,
            config.align.explained,
        ),
        num_domains,
        num_groups,
        algorithm.swap(config),
        micro_batches,
    )
    return Method(
        classifier=warmup if plan.guidance == "none" else warmup._replace(objective=objective),
        warmup=warmup,
        masker=_masker_update(plan, length, micro_batches) if plan.guidance == "learned" else None,
        given_masks=given_masks(plan.guidance),
        learning_rate=schedule,
    )


def _masker_update(plan: Plan, length: Length, micro_batches: MicroBatches) -> MaskerUpdate:
    config, algorithm, settings = plan.config, plan.algorithm, plan.config.masker_optim
    updates = (length.steps - length.warmup) // config.schedule.classifier_steps * config.schedule.masker_steps
    return MaskerUpdate(
        build_masker(config),
        algorithm.masker_objective(config, updates)
        if algorithm.masker_objective
        else align.masker_objective(**config.align.masker),
        optimizer(settings.name, learning_rate(settings.schedule, settings.lr, updates), settings.weight_decay),
        FILLS[config.align.fill],
        algorithm.swap(config) if algorithm.composites(config) else None,
        micro_batches,
    )
