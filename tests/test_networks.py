"""Any model given as (features, head), by the names of its methods; keys that make dropout a function of the step."""

import dataclasses

import chex
import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax import losses
from align_jax.algorithms import align
from align_jax.fills import FILLS
from align_jax.forward import ClassifierForward, MaskerForward, SaliencySettings
from align_jax.networks import Masker, classifier_from_linen, masker_from_linen
from align_jax.objectives import term, weighted
from align_jax.steps import ClassifierUpdate, MaskerUpdate, align_round, classifier_step, masker_step
from tests.small_networks import (
    CLASSES,
    SIZE,
    SmallClassifier,
    SmallMasker,
    small_batch,
    small_states,
    small_updates,
)

KEY = jax.random.key(7)
IMAGE = small_batch()["image"]


class Dropping(nn.Module):
    """BatchNorm and dropout, methods with names of their own, a submodule for a head, and no `__call__`."""

    rate: float = 0.5

    def setup(self):
        self.convolution, self.norm, self.dropout = nn.Conv(8, (3, 3), (4, 4)), nn.BatchNorm(), nn.Dropout(self.rate)
        self.classify = nn.Sequential([lambda last_map: last_map.mean((1, 2)), nn.Dense(CLASSES)])

    def body(self, image, train):
        x = nn.relu(self.norm(self.convolution(image), use_running_average=not train))
        return self.dropout(x, deterministic=not train)


class DroppingMasker(nn.Module):
    """Dropout before the last convolution."""

    def setup(self):
        self.dropout, self.convolution = nn.Dropout(0.5), nn.Conv(1, (3, 3))

    def soft_mask(self, image, train):
        return nn.sigmoid(self.convolution(self.dropout(image, deterministic=not train)))


def dropping_updates(**weights):
    network = classifier_from_linen(Dropping(), features="body", head="classify")
    optimizer = optax.sgd(0.1)
    return (
        ClassifierUpdate(network, align.classifier_objective(**weights), optimizer),
        MaskerUpdate(
            masker_from_linen(DroppingMasker(), mask="soft_mask"), align.masker_objective(), optimizer, FILLS["mean"]
        ),
    )


# ---- any names -------------------------------------------------------------------------------------------------------


class Renamed(SmallClassifier):
    """The small classifier under other names; its own `__call__` could not even be called."""

    def body(self, image, train):
        return SmallClassifier.features(self, image, train)

    def classify(self, last_map):
        return SmallClassifier.head(self, last_map)

    def features(self, image):
        raise AssertionError

    head = __call__ = features


class RenamedMasker(nn.Module):
    """A masker that is a submodule."""

    def setup(self):
        self.mask = SmallMasker()


def test_methods_may_have_any_names():
    expected = classifier_from_linen(SmallClassifier())
    renamed = classifier_from_linen(Renamed(), features="body", head="classify")
    variables = expected.init(KEY, IMAGE)
    chex.assert_trees_all_equal(renamed.init(KEY, IMAGE), variables)
    chex.assert_trees_all_equal(renamed.logits(*variables, IMAGE), expected.logits(*variables, IMAGE))
    chex.assert_trees_all_equal(
        renamed.features(*variables, IMAGE, True, KEY), expected.features(*variables, IMAGE, True, KEY)
    )


def test_parameters_are_those_of_the_modules_own_call():
    variables = SmallClassifier().init(KEY, IMAGE, train=False)
    assert {"params", "batch_stats"} == set(variables)
    expected = variables["params"], variables["batch_stats"]
    chex.assert_trees_all_equal(classifier_from_linen(SmallClassifier()).init(KEY, IMAGE), expected)


def test_a_masker_may_be_a_submodule():
    renamed, masker = masker_from_linen(RenamedMasker(), mask="mask"), masker_from_linen(SmallMasker())
    params, batch_stats = renamed.init(KEY, IMAGE)
    mask, new_batch_stats = renamed.mask(params, batch_stats, IMAGE, True, KEY)
    expected, _ = masker.mask(params["mask"], batch_stats["mask"], IMAGE, True, KEY)
    np.testing.assert_array_equal(mask, expected)
    assert not np.array_equal(*(tree["mask"]["BatchNorm_0"]["mean"] for tree in (batch_stats, new_batch_stats)))


@pytest.mark.parametrize(
    ("network", "name"),
    [
        (classifier_from_linen(Dropping()), "features"),
        (classifier_from_linen(Dropping(), features="body"), "head"),
        (masker_from_linen(Dropping(), mask="cam"), "cam"),
    ],
)
def test_a_method_that_is_not_there_is_refused_with_the_remedy(network, name):
    with pytest.raises(ValueError, match=rf"Dropping has no method '{name}'.*classifier_from_linen\(module, features="):
        network.init(KEY, IMAGE)


# ---- dropout ---------------------------------------------------------------------------------------------------------


def test_dropout_drops_in_training_alone():
    network = classifier_from_linen(Dropping(), features="body", head="classify")
    params, batch_stats = network.init(KEY, IMAGE)
    features, new_batch_stats = network.features(params, batch_stats, IMAGE, True, KEY)
    again, _ = network.features(params, batch_stats, IMAGE, True, KEY)
    other, _ = network.features(params, batch_stats, IMAGE, True, jax.random.key(8))
    np.testing.assert_array_equal(features, again)
    assert not np.array_equal(features == 0, other == 0)
    assert not np.array_equal(new_batch_stats["norm"]["mean"], batch_stats["norm"]["mean"])
    stored, unchanged = network.features(params, batch_stats, IMAGE, False, None)
    without = classifier_from_linen(Dropping(rate=0.0), features="body", head="classify")
    np.testing.assert_array_equal(stored, without.features(params, batch_stats, IMAGE, False, None)[0])
    chex.assert_trees_all_equal(unchanged, batch_stats)
    np.testing.assert_array_equal(network.logits(params, batch_stats, IMAGE), network.head(params, stored))


def test_dropping_channels_of_the_map_is_dropping_their_means():
    """The docstring's alternative to a head with dropout."""
    last_map = jax.random.normal(KEY, (5, 4, 4, 6))

    def dropped(x, **options):
        return nn.Dropout(0.5, deterministic=False, **options).apply({}, x, rngs={"dropout": KEY})

    channels = dropped(last_map, broadcast_dims=(1, 2)).mean((1, 2))
    kept = channels != 0
    assert 0 < kept.mean() < 1
    np.testing.assert_allclose(channels, jnp.where(kept, 2 * last_map.mean((1, 2)), 0), rtol=1e-5, atol=1e-6)


def recorded(network, method):
    """The same network, with a list of the keys that it was given."""
    keys = []

    def function(params, batch_stats, image, train, key):
        assert (key is not None) == train
        keys.append(key)
        return getattr(network, method)(params, batch_stats, image, train, key)

    return network._replace(**{method: function}), keys


def test_every_pass_of_an_update_has_a_key_of_its_own():
    (classifier, masker), key = small_updates(), jax.random.fold_in(KEY, 3)
    classifier_state, masker_state = small_states(classifier, masker)
    network, keys = recorded(classifier.network, "features")
    quantities = ClassifierForward(
        network, classifier_state.params, classifier_state.batch_stats, small_batch(), key,
        lambda batch: batch["mask"], SaliencySettings(),
    )  # fmt: skip
    _ = quantities.logits, quantities.mixed_logits, quantities.swapped_logits
    _ = quantities.classify(IMAGE), quantities.saliency, quantities.mixed_saliency
    assert len(keys) == 4
    quantities.predict(IMAGE)
    assert keys.pop() is None
    masking, masker_keys = recorded(masker.network, "mask")
    _ = MaskerForward(
        masking, masker_state.params, masker_state.batch_stats, small_batch(), key, lambda image: image, lambda x: x
    ).mask
    # The mixup's partner and share, terms' own draws and the swap's partner have one each, too.
    others = [jax.random.fold_in(key, number) for number in range(4)]
    different = {tuple(np.asarray(jax.random.key_data(key)).tolist()) for key in (*keys, *masker_keys, *others)}
    assert len(different) == 4 + 1 + 4


def test_dropout_is_a_function_of_seed_and_step():
    classifier, masker = dropping_updates(regularisation=0.0)  # without mixup nothing else is drawn
    states = small_states(classifier, masker)
    advance = jax.jit(lambda states, key: align_round(classifier, masker, *states, [small_batch()], key)[:2])
    first = advance(states, KEY)
    chex.assert_trees_all_equal(advance(states, KEY), first)
    chex.assert_tree_all_finite([state.params for state in first])

    def differs(other):
        return [
            not np.array_equal(jax.tree.leaves(a.params)[-1], jax.tree.leaves(b.params)[-1])
            for a, b in zip(first, other, strict=True)
        ]

    assert differs(advance(states, jax.random.key(8))) == [True, True]
    later = advance([dataclasses.replace(state, step=jnp.int32(1)) for state in states], KEY)
    assert differs(later) == [True, True]


def test_without_dropout_keys_change_nothing():
    """To the last bit: of cross-entropy, which draws nothing, and of the masker."""
    classifier, masker = small_updates()
    classifier = classifier._replace(objective=weighted(cls=term(losses.cross_entropy)))
    states = small_states(classifier, masker)
    step = jax.jit(lambda key: classifier_step(classifier, states[0], small_batch(), key))
    chex.assert_trees_all_equal(step(KEY), step(jax.random.key(8)))
    frozen = lambda image: image.mean((1, 2))  # noqa: E731
    step = jax.jit(lambda key: masker_step(masker, states[1], small_batch(), key, frozen))
    chex.assert_trees_all_equal(step(KEY), step(jax.random.key(8)))


def test_nothing_is_dropped_where_a_network_is_frozen():
    """The masker learns from the classifier in evaluation mode, and the guiding mask is the one that is shown."""
    classifier, masker = dropping_updates()
    states = small_states(classifier, masker)
    network, keys = recorded(classifier.network, "features")
    masking, masker_keys = recorded(masker.network, "mask")
    updates = classifier._replace(network=network), masker._replace(network=masking)
    jax.eval_shape(lambda states: align_round(*updates, *states, [small_batch()], KEY), states)
    # Frozen, then clean and mixed; the masker is trained, then asked for the masks that guide.
    assert [key is None for key in keys] == [True, False, False]
    assert [key is None for key in masker_keys] == [False, True]


def test_a_hand_written_masker_takes_the_key_too():
    mask = Masker(
        lambda key, image: ({}, {}),
        lambda params, batch_stats, image, train, key: (jax.random.uniform(key, (*image.shape[:3], 1)), batch_stats),
    )
    quantities = MaskerForward(mask, {}, {}, small_batch(), KEY, lambda image: image.mean((1, 2)), jnp.zeros_like)
    assert quantities.mask.shape == (12, SIZE, SIZE, 1)
    assert float(quantities.mask.std()) > 0
