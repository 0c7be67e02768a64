"""The states that a run begins with: newly initialised, or with pretrained weights."""

import dataclasses

import jax
import jax.numpy as jnp

from align_jax.models.pretrained import Loaded, load_weights, locate
from align_jax.objectives import Sizes
from align_jax.runtime.sharding import compile_step, replicate
from align_jax.states import States, create_classifier_state, create_masker_state
from align_jax.training.method import Method


def initial_states(
    method: Method, key: jax.Array, mesh: jax.sharding.Mesh, *, num_classes: int, image_size: int
) -> States:
    """Newly initialised states of both networks, on the devices of the mesh; `key` lies there too."""
    image = jnp.zeros((1, image_size, image_size, 3), jnp.float32)
    update, masker = method.classifier, method.masker

    def create(key: jax.Array) -> States:
        classifier_key, masker_key = jax.random.split(key)
        carried = update.objective.initial_carried(Sizes(update.num_domains, num_classes, update.num_groups))
        classifier_state = create_classifier_state(update.network, update.optimizer, classifier_key, image, carried)
        if masker is None:
            return classifier_state, None
        return classifier_state, create_masker_state(masker.network, masker.optimizer, masker_key, image)

    return compile_step(create, mesh)(key)


def with_pretrained(states: States, source: str, mesh: jax.sharding.Mesh) -> tuple[States, Loaded]:
    """The states with the classifier's weights from a file; see `models.pretrained.locate` for the source.

    Raises:
      UserError: the file is missing, or holds the weights of another network.
    """
    classifier, masker = states
    weights = load_weights(locate(source), classifier.params, classifier.batch_stats)
    params, batch_stats = replicate(mesh, (weights.params, weights.batch_stats))
    # The optimiser's state needs no change: it begins with zeros, whatever the parameters are.
    return (dataclasses.replace(classifier, params=params, batch_stats=batch_stats), masker), weights
