"""Partners stay inside the class, and all are equally likely."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import mixup
from align_jax.data.normalise import as_network_input
from align_jax.forward import ClassifierForward, SaliencySettings
from align_jax.networks import Classifier

LABEL = jnp.array([2, 0, 1, 0, 2, 2, 0, 4])


def test_partner_is_a_permutation_within_the_class():
    for seed in range(20):
        partner = mixup.same_class_partner(jax.random.key(seed), LABEL)
        np.testing.assert_array_equal(np.sort(partner), np.arange(len(LABEL)))
        np.testing.assert_array_equal(LABEL[partner], LABEL)


def test_every_member_is_equally_likely():
    partners = jax.vmap(lambda key: mixup.same_class_partner(key, LABEL))(jax.random.split(jax.random.key(0), 3000))
    of_first_of_class_2 = np.asarray(partners[:, 0])
    share = np.bincount(of_first_of_class_2, minlength=8) / len(partners)
    expected = np.where(np.asarray(LABEL) == 2, 1 / 3, 0)
    np.testing.assert_allclose(share, expected, atol=0.03)


def test_an_only_member_is_its_own_partner():
    assert int(mixup.same_class_partner(jax.random.key(3), LABEL)[7]) == 7
    assert int(mixup.same_class_partner(jax.random.key(3), LABEL)[2]) == 2


@pytest.mark.parametrize("concentration", [0.2, 1.0])
def test_mixing_share_is_a_beta_distribution(concentration):
    share = np.asarray(mixup.mixing_share(jax.random.key(0), 4000, concentration))
    assert share.min() >= 0
    assert share.max() <= 1
    np.testing.assert_allclose(share.mean(), 0.5, atol=0.03)
    np.testing.assert_allclose(share.var(), 1 / (4 * (2 * concentration + 1)), atol=0.01)


def test_mix_is_the_convex_combination():
    image = jax.random.normal(jax.random.key(0), (3, 4, 4, 3))
    partner, mixing = jnp.array([1, 0, 2]), jnp.array([1.0, 0.25, 0.3])
    mixed = mixup.mix(image, partner, mixing)
    chex.assert_trees_all_close(mixed[0], image[0])
    chex.assert_trees_all_close(mixed[1], 0.25 * image[1] + 0.75 * image[0], rtol=1e-6)
    chex.assert_trees_all_close(mixed[2], image[2], rtol=1e-6)


def test_partners_that_are_taken_from_stored_images_are_the_same():
    """`normalise(x)[partner] == normalise(x[partner])`, to the last bit."""
    identity = Classifier(None, lambda params, statistics, image, train, key: (image, statistics), None)
    stored = jax.random.randint(jax.random.key(1), (8, 4, 4, 3), 0, 256).astype(jnp.uint8)
    batch = as_network_input({"image": stored, "label": LABEL})
    mixed = [
        ClassifierForward(identity, {}, {}, given, jax.random.key(2), None, SaliencySettings()).mixed_features
        for given in (batch, batch | {"stored_image": stored})
    ]
    np.testing.assert_array_equal(*mixed)
    assert not np.array_equal(mixed[0], batch["image"])
