"""What a run's updates are made of, from its plan."""

import jax
import jax.numpy as jnp
import pytest

from align_jax.micro_batches import MicroBatches
from align_jax.training.method import build_method
from align_jax.training.plan import Length, plan
from tests.tiny_config import get_config


def method(**changes):
    config = get_config()
    config.update_from_flattened_dict({name.replace("__", "."): value for name, value in changes.items()})
    return build_method(plan(config), num_classes=3, num_domains=2, length=Length(8, 3))


def test_every_update_sees_the_micro_batches_and_domains_stay_together_in_them():
    found = method(schedule__accumulate=3)
    updates = (found.classifier, found.warmup, found.masker)
    assert [update.micro_batches for update in updates] == [MicroBatches(3, 2)] * 3
    assert [update.micro_batches.count for update in method()[:3]] == [1, 1, 1]


@pytest.mark.parametrize("remat", [False, True])
def test_the_classifier_computes_its_parts_a_second_time_if_it_is_to(remat):
    network = method(classifier__remat=remat).classifier.network
    image = jnp.zeros((1, 32, 32, 3))
    params, stats = jax.eval_shape(lambda: network.init(jax.random.key(0), image))

    def program(features):
        loss = lambda params: features(params, stats_of_zeros, image, True, None)[0].sum()  # noqa: E731
        return str(jax.make_jaxpr(jax.grad(loss))(params))

    stats_of_zeros = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape), stats)
    # A parameter of `jax.checkpoint`, whatever the primitive is called.
    assert ("prevent_cse" in program(network.features)) == remat
    assert "prevent_cse" in program(network.lean)  # what mixed images go through keeps less in any case
