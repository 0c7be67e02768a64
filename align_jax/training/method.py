"""From a config to the networks, objectives and optimisers of one run."""

from collections.abc import Callable
from typing import NamedTuple

import ml_collections
import optax

from align_jax.algorithms import ALGORITHMS, align
from align_jax.fills import FILLS
from align_jax.forward import Batch, Explanation, Mask
from align_jax.guidance import given_masks
from align_jax.models.build import build_classifier, build_masker
from align_jax.optimizers import learning_rate, optimizer
from align_jax.steps import ClassifierUpdate, MaskerUpdate


class Method(NamedTuple):
    """What is fixed throughout a run.

    Attributes:
      classifier: the classifier's update in the rounds.
      warmup: its update before them: the same less the guided terms.
      masker: the masker's update, or None where no masker is trained.
      guidance: where the masks come from (`guidance.GUIDANCES`); "none" for a method that takes none.
      given_masks: from the batch to the masks that guide, where they are not learned.
      learning_rate: the classifier's, by step.
    """

    classifier: ClassifierUpdate
    warmup: ClassifierUpdate
    masker: MaskerUpdate | None
    guidance: str
    given_masks: Callable[[Batch], Mask] | None
    learning_rate: optax.Schedule


def guidance_of(config: ml_collections.ConfigDict) -> str:
    """Where this run's masks come from: `config.guidance`, or the method's own; "none" for one that takes none."""
    algorithm = ALGORITHMS[config.algorithm]
    if not algorithm.guided_terms:
        return "none"
    return algorithm.guidance if config.guidance == "method" else config.guidance


def warms_up(config: ml_collections.ConfigDict) -> bool:
    """Whether this run begins without its guided terms, for `config.schedule.warmup`."""
    return ALGORITHMS[config.algorithm].warms_up and guidance_of(config) != "none"


def build_method(
    config: ml_collections.ConfigDict, num_classes: int, num_domains: int, steps: int, warmup: int
) -> Method:
    """The method that `config.algorithm` and `config.guidance` name.

    Args:
      config: the run's.
      num_classes: how many logits.
      num_domains: how many domains are trained on.
      steps: classifier updates in all.
      warmup: how many come before the rounds.
    """
    algorithm = ALGORITHMS[config.algorithm]
    guidance = guidance_of(config)
    guided = guidance != "none"
    schedule = learning_rate(config.optim.schedule, config.optim.lr, steps)
    objective = algorithm.classifier_objective(config)
    if algorithm.warms_up:
        objective = objective.ramped(algorithm.guided_terms, warmup, config.align.ramp)
    unguided = objective.without(*algorithm.guided_terms)
    before_guidance = ClassifierUpdate(
        build_classifier(config, num_classes),
        unguided,
        optimizer(config.optim.name, schedule, config.optim.weight_decay, algorithm.restart(config)),
        Explanation(
            # DRE's code, which `as_published` follows, takes the channel weights as constants.
            "constant" if config.align.classifier.as_published else config.align.alpha,
            config.align.normalise,
            config.align.mixing_concentration,
            config.align.explained,
        ),
        num_domains,
    )
    masker = None
    masker_updates = (steps - warmup) // config.schedule.classifier_steps * config.schedule.masker_steps
    if guidance == "learned":
        masker = MaskerUpdate(
            build_masker(config),
            align.masker_objective(**config.align.masker),
            optimizer(
                config.masker_optim.name,
                learning_rate(config.masker_optim.schedule, config.masker_optim.lr, masker_updates),
                config.masker_optim.weight_decay,
            ),
            FILLS[config.align.fill],
        )
    return Method(
        classifier=before_guidance._replace(objective=objective) if guided else before_guidance,
        warmup=before_guidance,
        masker=masker,
        guidance=guidance,
        given_masks=given_masks(guidance),
        learning_rate=schedule,
    )
