"""Networks small enough to compile in a moment, with everything that matters: BatchNorm, a head, a masker."""

import math

import flax.linen as nn
import jax
import jax.numpy as jnp
import optax

from align_jax import algorithms
from align_jax.configuration import default_config
from align_jax.fills import FILLS
from align_jax.forward import SaliencySettings
from align_jax.networks import classifier_from_linen, masker_from_linen
from align_jax.objectives import Sizes
from align_jax.optimizers import optimizer
from align_jax.states import create_classifier_state, create_masker_state
from align_jax.steps import ClassifierUpdate, MaskerUpdate

CLASSES = 3
SIZE = 16


def sines(key, shape, dtype=jnp.float32):
    """An initialiser whose values look random: every random draw takes XLA half a second to compile, a sine takes none.

    They are a function of the key and have the variance of `lecun_normal`, 1 / fan-in.
    """
    place = jnp.arange(math.prod(shape), dtype=dtype)
    phase = (jax.random.key_data(key).sum() % 1009).astype(dtype)
    return jnp.sqrt(2 / math.prod(shape[:-1])) * jnp.sin(phase + 1.7 * place * place).reshape(shape)


class SmallClassifier(nn.Module):
    """Two convolutions with BatchNorm between them, a pool-and-linear head."""

    def setup(self):
        self.first, self.second = (nn.Conv(width, (3, 3), (2, 2), kernel_init=sines) for width in (6, 8))
        self.norm = nn.BatchNorm(momentum=0.9)
        self.linear = nn.Dense(CLASSES, kernel_init=sines)

    def features(self, image, train):
        return nn.relu(self.second(nn.relu(self.norm(self.first(image), use_running_average=not train))))

    def head(self, features):
        return self.linear(features.mean((1, 2)))

    def __call__(self, image, train):
        return self.head(self.features(image, train))


class SmallMasker(nn.Module):
    """A masker with BatchNorm, which the library's own does not have."""

    @nn.compact
    def __call__(self, image, train):
        hidden = nn.relu(nn.BatchNorm(use_running_average=not train)(nn.Conv(4, (3, 3), kernel_init=sines)(image)))
        return nn.sigmoid(nn.Conv(1, (3, 3), kernel_init=sines)(hidden))


def small_batch(seed=0, size=12):
    """An image for each of three classes in turn, from two domains, with a mask."""
    image_key, mask_key = jax.random.split(jax.random.key(seed))
    return {
        "image": jax.random.normal(image_key, (size, SIZE, SIZE, 3)),
        "label": jnp.arange(size) % CLASSES,
        "domain": jnp.arange(size) % 2,
        "mask": jax.random.uniform(mask_key, (size, SIZE, SIZE, 1)),
    }


def small_updates(optimizer=None, saliency_settings=None, **weights):
    """ALIGN on the small networks; `weights` are `algorithms.align.classifier_objective`'s."""
    optimizer = optax.adam(1e-3) if optimizer is None else optimizer
    classifier = ClassifierUpdate(
        classifier_from_linen(SmallClassifier()),
        algorithms.align.classifier_objective(**weights),
        optimizer,
        saliency_settings or SaliencySettings(),
    )
    masker = MaskerUpdate(
        masker_from_linen(SmallMasker()), algorithms.align.masker_objective(), optimizer, FILLS["mean"]
    )
    return classifier, masker


def small_states(classifier, masker, seed=0):
    """Both states at step 0."""

    @jax.jit
    def create(key):
        image = jnp.zeros((1, SIZE, SIZE, 3))
        first, second = jax.random.split(key)
        return (
            create_classifier_state(classifier.network, classifier.optimizer, first, image),
            create_masker_state(masker.network, masker.optimizer, second, image),
        )

    return create(jax.random.key(seed))


def small_method(name, changes=None, optimizer_name="adam", learning_rate=lambda step: 1e-2):
    """A method by its name on the small classifier, with three domains; `changes` are to the default config."""
    config = default_config()
    config.update_from_flattened_dict(changes or {})
    algorithm = algorithms.ALGORITHMS[name]
    return ClassifierUpdate(
        classifier_from_linen(SmallClassifier()),
        algorithm.classifier_objective(config),
        optimizer(optimizer_name, learning_rate, 0.0, algorithm.restart(config)),
        num_domains=3,
    )


def small_state(update, seed=0):
    """The classifier's state at step 0, with its objective's carried state."""

    @jax.jit
    def create(key):
        carried = update.objective.initial_carried(Sizes(update.num_domains, CLASSES, update.num_groups))
        return create_classifier_state(update.network, update.optimizer, key, jnp.zeros((1, SIZE, SIZE, 3)), carried)

    return create(jax.random.key(seed))
