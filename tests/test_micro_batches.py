"""Micro-batches: with frozen BatchNorm the update is the whole batch's; otherwise it is what it is meant to be."""

import functools

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax.micro_batches import MicroBatches, in_micro_batches
from align_jax.models.masker import EncoderDecoder
from align_jax.networks import Classifier, classifier_from_linen, masker_from_linen
from align_jax.runtime.sharding import KEEP_BARRIERS
from align_jax.steps import align_round, classifier_step
from tests.small_networks import (
    CLASSES,
    SmallClassifier,
    small_batch,
    small_method,
    small_state,
    small_states,
    small_updates,
)
from tests.virtual_devices import run_on_eight_devices

KEY = jax.random.key(7)
# Two domains take turns in these batches of twelve.
PARTS = MicroBatches(3, 2)
# All that crosses micro-batches: partners and their saliency (dre), composites, the gradient of a gradient (rrr),
# images of other domains (mixup), the means of groups and what is carried from step to step (group_dro), covariances.
METHODS = {
    "erm": {},
    "dre": {},
    "align": {"align.classifier.swapped_cls": 0.5, "align.swap.partner": "other_class"},
    "rrr": {},
    "mixup": {},
    "group_dro": {"group_dro.over": "group"},
    "coral": {},
}


class FrozenClassifier(SmallClassifier):
    """The small classifier with frozen BatchNorm."""

    def features(self, image, train):
        return super().features(image, train=False)


def batch_of_twelve(seed=0):
    return small_batch(seed) | {"class_group": jnp.arange(12) // 2 % 4}


def given(batch):
    return batch["mask"]


def plain_descent(update, **changes):
    """With plain gradient descent, parameters differ as gradients do."""
    return update._replace(optimizer=optax.sgd(0.1), **changes)


@pytest.mark.parametrize("name", METHODS)
def test_with_frozen_statistics_every_method_updates_as_on_the_whole_batch(name):
    whole = plain_descent(small_method(name, METHODS[name]), network=classifier_from_linen(FrozenClassifier()))
    whole = whole._replace(num_domains=2, num_groups=4)
    state, batch = small_state(whole), batch_of_twelve()
    # Statistics that normalise something.
    state = state.replace(batch_stats=jax.tree.map(lambda leaf: leaf + 0.3, state.batch_stats))

    @jax.jit
    def both(state, batch):
        updates = (whole, whole._replace(micro_batches=PARTS))
        return [classifier_step(update, state, batch, KEY, given) for update in updates]

    (expected, metrics), (found, found_metrics) = both(state, batch)
    chex.assert_trees_all_close(found, expected, rtol=0, atol=1e-6)
    chex.assert_trees_all_close(found_metrics, metrics, rtol=2e-6, atol=1e-6)
    chex.assert_trees_all_equal(found.batch_stats, state.batch_stats)
    moved = jax.tree.map(lambda old, new: float(jnp.abs(old - new).max()), state.params, expected.params)
    assert max(jax.tree.leaves(moved)) > 1e-4


def round_of(micro_batches):
    """A round whose networks have no statistics of a batch, and its states."""
    classifier, masker = small_updates()
    classifier = plain_descent(classifier, network=classifier_from_linen(FrozenClassifier()))
    masker = plain_descent(masker, network=masker_from_linen(EncoderDecoder((4, 8))))
    updates = [update._replace(micro_batches=micro_batches) for update in (classifier, masker)]
    return functools.partial(align_round, *updates), small_states(*updates)


def test_a_round_updates_both_networks_as_on_the_whole_batch():
    (whole, states), (in_parts, _) = round_of(MicroBatches()), round_of(PARTS)
    both = jax.jit(lambda states, batch: [advance(*states, [batch], KEY) for advance in (whole, in_parts)])
    (*expected, metrics), (*found, found_metrics) = both(states, batch_of_twelve())
    chex.assert_trees_all_close(found, expected, rtol=0, atol=1e-6)
    chex.assert_trees_all_close(found_metrics, metrics, rtol=2e-6, atol=1e-6)
    for old, new in zip(states, expected, strict=True):
        assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, old.params, new.params)))


def test_batch_norm_normalises_with_each_micro_batchs_statistics_and_stores_their_mean():
    """The update of cross-entropy is then the mean of the updates on each micro-batch: what accumulation usually is."""
    whole = plain_descent(small_method("erm"), num_domains=2)
    state, batch = small_state(whole), batch_of_twelve()
    found, metrics = jax.jit(lambda s, b: classifier_step(whole._replace(micro_batches=PARTS), s, b, KEY))(state, batch)
    alone = jax.jit(lambda s, b: classifier_step(whole, s, b, KEY))
    parts = [{name: PARTS.cut(value)[number] for name, value in batch.items()} for number in range(3)]
    assert all(set(part["domain"].tolist()) == {0, 1} for part in parts)
    states, part_metrics = zip(*(alone(state, part) for part in parts), strict=True)
    mean = lambda *leaves: sum(leaves) / 3  # noqa: E731
    chex.assert_trees_all_close(found.params, jax.tree.map(mean, *(s.params for s in states)), rtol=0, atol=1e-6)
    chex.assert_trees_all_close(found.batch_stats, jax.tree.map(mean, *(s.batch_stats for s in states)), atol=1e-6)
    np.testing.assert_allclose(metrics["loss"].value(), mean(*(m["loss"].value() for m in part_metrics)), rtol=1e-6)
    # And not the whole batch's.
    on_all, _ = alone(state, batch)
    assert not np.allclose(on_all.batch_stats["norm"]["var"], found.batch_stats["norm"]["var"], rtol=1e-4)


def test_statistics_that_stay_are_not_rounded():
    """The mean of three equal numbers may be another number."""
    stats = {"mean": jnp.float32([0.1, 1 / 3, 7e-8, 12345.678])}
    network = Classifier(lambda key, image: ({}, stats), lambda p, s, image, train, key: (image, s), lambda p, f: f)
    _, new = in_micro_batches(network, MicroBatches(3)).features({}, stats, jnp.zeros((6, 2, 2, 1)), True, KEY)
    np.testing.assert_array_equal(new["mean"], stats["mean"])


def test_each_micro_batch_draws_for_itself():
    def noise(params, stats, image, train, key):
        return jnp.zeros(image.shape) if key is None else jax.random.normal(key, image.shape), stats

    network = in_micro_batches(Classifier(lambda key, image: ({}, {}), noise, lambda p, f: f.mean((1, 2))), PARTS)
    image = jnp.ones((12, 1, 1, 1))
    assert len(np.unique(network.features({}, {}, image, True, KEY)[0])) == 12
    assert not network.logits({}, {}, image).any()


def test_the_cut_and_what_joins_it():
    parts = MicroBatches(2, 3)
    np.testing.assert_array_equal(parts.cut(jnp.arange(12)), [[0, 1, 2, 6, 7, 8], [3, 4, 5, 9, 10, 11]])
    batch = jax.random.normal(KEY, (24, 2, 5))
    np.testing.assert_array_equal(parts.joined(parts.cut(batch)), batch)
    with pytest.raises(ValueError, match=r"batch of 16 cannot .* 2 micro-batches .* of 3; give a multiple of 6\."):
        parts.cut(jnp.arange(16))
    assert in_micro_batches(classifier := small_updates()[0].network, MicroBatches(1, 3)) is classifier


class WideClassifier(SmallClassifier):
    """What its layers keep is far more than the images."""

    def setup(self):
        self.layers = [nn.Conv(32, (3, 3)) for _ in range(4)]
        self.linear = nn.Dense(CLASSES)

    def features(self, image, train):
        for layer in self.layers:
            image = nn.relu(layer(image))
        return image


@pytest.mark.parametrize(("name", "share"), [("dre", 0.5), ("rrr", 0.95)])
def test_four_micro_batches_take_less_memory(name, share):
    """Hardly less where the gradient of a gradient is taken (rrr): the loop keeps what the second one needs."""
    update = small_method(name)._replace(network=classifier_from_linen(WideClassifier()))
    state = jax.eval_shape(lambda: small_state(update))
    batch = {field: jax.ShapeDtypeStruct((48, *v.shape[1:]), v.dtype) for field, v in small_batch().items()}

    def temporary(micro_batches):
        parts = update._replace(micro_batches=micro_batches)
        step = jax.jit(lambda state, batch: classifier_step(parts, state, batch, KEY, given))
        return step.lower(state, batch).compile(KEEP_BARRIERS).memory_analysis().temp_size_in_bytes

    assert temporary(MicroBatches(4, 2)) < share * temporary(MicroBatches())


ON_A_MESH = """
import functools, jax, numpy as np, optax
from align_jax.micro_batches import MicroBatches
from align_jax.runtime.sharding import compile_step, data_mesh, place_batch, replicated
from align_jax.steps import classifier_step, masker_step
from tests.small_networks import small_batch, small_method, small_state, small_states, small_updates

assert jax.device_count() == 8
parts = MicroBatches(2, 2)
classifier, masker = (u._replace(optimizer=optax.sgd(0.01), micro_batches=parts) for u in small_updates())
erm = small_method("erm")._replace(optimizer=optax.sgd(0.01), num_domains=2, micro_batches=parts)
key = jax.random.key(7)

def one_step(mesh, whole, state):
    batch = place_batch(mesh, jax.tree.map(np.asarray, small_batch(size=32)))
    step = compile_step(whole, mesh)
    program = step.lower(jax.device_put(state, replicated(mesh)), batch).compile()
    return jax.device_get(program(jax.device_put(state, replicated(mesh)), batch)), program.as_text()

frozen_state, masker_state = small_states(classifier, masker)
logits = lambda state: lambda image: classifier.network.logits(state.params, state.batch_stats, image)
updates = [
    (lambda state, batch: classifier_step(erm, state, batch, key), small_state(erm)),
    (lambda states, batch: masker_step(masker, states[1], batch, key, logits(states[0])), (frozen_state, masker_state)),
]
for update, state in updates:
    (one, _), (eight, text) = (one_step(data_mesh(jax.devices()[:n]), update, state) for n in (1, 8))
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, rtol=1e-5, atol=1e-6), eight, one)
    # Neither images nor masks nor features move: the micro-batches are cut within each device's part.
    for moving in ("all-gather", "all-to-all", "collective-permute"):
        assert moving not in text, moving
    assert "all-reduce" in text
print("same")
"""


def test_on_eight_devices_each_cuts_its_own_part():
    run_on_eight_devices(ON_A_MESH)
