"""From a config to the networks, objectives and optimisers of one run."""

from collections.abc import Callable
from typing import NamedTuple

import jax.numpy as jnp
import ml_collections
import optax

from align_jax.algorithms import ALGORITHMS
from align_jax.fills import FILLS
from align_jax.forward import Batch, Explanation, Mask
from align_jax.models.masker import Masker
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen, masker_from_linen
from align_jax.optimizers import learning_rate, optimizer
from align_jax.steps import ClassifierUpdate, MaskerUpdate


class Method(NamedTuple):
    """What is fixed throughout a run.

    Attributes:
      classifier: the classifier's update in the rounds.
      warmup: its update before them: the same less the guided terms.
      masker: the masker's update, or None where no masker is trained.
      given_masks: from the batch to masks that the data set has, where those guide.
      guided: whether the rounds differ from warm-up at all.
      learning_rate: the classifier's, by step.
    """

    classifier: ClassifierUpdate
    warmup: ClassifierUpdate
    masker: MaskerUpdate | None
    given_masks: Callable[[Batch], Mask] | None
    guided: bool
    learning_rate: optax.Schedule


def build_method(config: ml_collections.ConfigDict, num_classes: int, steps: int, warmup: int) -> Method:
    """The method that `config.algorithm` and `config.guidance` name, for `steps` steps of which `warmup` come first."""
    algorithm = ALGORITHMS[config.algorithm]
    guided = bool(algorithm.guided_terms) and config.guidance != "none"
    schedule = learning_rate(config.optim.schedule, config.optim.lr, steps)
    objective = algorithm.classifier_objective(config)
    unguided = objective.without(*algorithm.guided_terms)
    dtype = jnp.dtype(config.classifier.dtype)
    network = resnet(
        config.classifier.name,
        num_classes,
        freeze_batch_norm=config.classifier.freeze_batch_norm,
        dtype=dtype,
    )
    before_guidance = ClassifierUpdate(
        classifier_from_linen(network),
        unguided,
        optimizer(config.optim.name, schedule, config.optim.weight_decay),
        Explanation(
            # DRE's code, which `as_published` follows, takes the channel weights as constants.
            "constant" if config.align.classifier.as_published else config.align.alpha,
            config.align.normalise,
            config.align.mixing_concentration,
        ),
    )
    masker = None
    masker_updates = (steps - warmup) // config.schedule.classifier_steps * config.schedule.masker_steps
    if guided and config.guidance == "learned" and algorithm.masker_objective is not None:
        masker = MaskerUpdate(
            masker_from_linen(Masker(tuple(config.masker.widths), dtype)),
            algorithm.masker_objective(config),
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
        given_masks=(lambda batch: batch["mask"]) if guided and config.guidance == "true" else None,
        guided=guided,
        learning_rate=schedule,
    )
