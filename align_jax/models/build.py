"""Builds the networks that `config.classifier.name` and `config.masker.name` choose."""

import jax.numpy as jnp
import ml_collections

from align_jax.models.masker import MASKERS
from align_jax.models.resnet import resnet
from align_jax.networks import Classifier, Masker, classifier_from_linen, masker_from_linen


def build_classifier(config: ml_collections.ConfigDict, num_classes: int) -> Classifier:
    """The classifier f that `config.classifier` names.

    Args:
      config: the whole run's.
      num_classes: the number of logits.
    """
    module = resnet(
        config.classifier.name,
        num_classes,
        freeze_batch_norm=config.classifier.freeze_batch_norm,
        dtype=jnp.dtype(config.classifier.dtype),
        remat=config.classifier.remat,
    )
    return classifier_from_linen(module, lean="lean_features")


def build_masker(config: ml_collections.ConfigDict) -> Masker:
    """The masker M that `config.masker` names; it computes in the classifier's data type.

    Args:
      config: the whole run's.
    """
    entry = MASKERS[config.masker.name]
    return masker_from_linen(entry.module(config.masker, jnp.dtype(config.classifier.dtype)))
