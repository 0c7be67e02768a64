"""Terms get what they name, once; weights may be schedules; what cannot be given is refused."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses
from align_jax.forward import ClassifierForward, Explanation, MaskerForward
from align_jax.objectives import Carried, Mean, after, ramped, switch, term, weighted
from tests.small_networks import SIZE, small_batch, small_states, small_updates


@functools.cache
def networks():
    updates = small_updates()
    return updates, small_states(*updates)


def forward(masks=lambda batch: batch["mask"], batch=None):
    (classifier, _), (state, _) = networks()
    return ClassifierForward(
        classifier.network,
        state.params,
        state.batch_stats,
        batch or small_batch(),
        jax.random.key(0),
        masks,
        Explanation(),
    )


def test_the_loss_is_the_weighted_sum_and_metrics_are_unweighted():
    objective = weighted(
        cls=term(losses.cross_entropy), mine=term(lambda logits, label: (logits**2).sum(-1) * (label + 1), weight=0.5)
    )
    quantities = forward()
    loss, metrics, _ = objective(quantities, jnp.int32(0))
    cls = losses.cross_entropy(quantities.logits, quantities.label).mean()
    mine = ((quantities.logits**2).sum(-1) * (quantities.label + 1)).mean()
    chex.assert_trees_all_close(loss, cls + 0.5 * mine, rtol=1e-6)
    chex.assert_trees_all_close(metrics["mine"].value(), mine, rtol=1e-6)
    assert set(metrics) == {"cls", "mine", "loss"}


def test_a_term_may_be_a_scalar_and_have_defaults():
    objective = weighted(domains=term(lambda logits, domain, power=2: (logits[domain == 0] ** power).mean()))
    quantities = forward()
    expected = (quantities.logits[quantities.domain == 0] ** 2).mean()
    chex.assert_trees_all_close(objective(quantities, jnp.int32(0))[0], expected, rtol=1e-6)


def test_after_switches_a_term_on():
    objective = weighted(cls=term(losses.cross_entropy, weight=after(10, 2.0)))
    before, _, _ = objective(forward(), jnp.int32(9))
    on, metrics, _ = objective(forward(), jnp.int32(10))
    assert float(before) == 0
    chex.assert_trees_all_close(on, 2 * metrics["cls"].value(), rtol=1e-6)


def test_without_removes_terms():
    objective = weighted(cls=term(losses.cross_entropy), egl=term(losses.alignment)).without("egl")
    _, metrics, _ = objective(forward(masks=None), jnp.int32(0))
    assert set(metrics) == {"cls", "loss"}


def test_what_several_terms_need_is_computed_once():
    (classifier, _), (state, _) = networks()
    passes = []

    def counted(params, batch_stats, image, train):
        passes.append(image.shape)
        return classifier.network.features(params, batch_stats, image, train)

    quantities = ClassifierForward(
        classifier.network._replace(features=counted), state.params, state.batch_stats, small_batch(),
        jax.random.key(0), lambda batch: batch["mask"], Explanation(),
    )  # fmt: skip
    classifier.objective(quantities, jnp.int32(0))
    assert len(passes) == 2  # clean and mixed


def test_other_images_are_classified_as_in_training_or_as_in_evaluation():
    quantities = forward()
    chex.assert_trees_all_close(quantities.classify(quantities.image), quantities.logits, rtol=1e-5)
    (classifier, _), (state, _) = networks()
    stored = classifier.network.logits(state.params, state.batch_stats, quantities.image)
    chex.assert_trees_all_close(quantities.predict(quantities.image), stored, rtol=1e-5)
    assert not np.allclose(stored, quantities.logits, rtol=1e-2)


def test_a_domain_that_the_batch_lacks_has_no_members():
    quantities = dataclasses.replace(forward(), num_domains=3)
    np.testing.assert_array_equal(quantities.membership.sum(1), [6, 6, 0])
    np.testing.assert_array_equal(quantities.membership[1], quantities.domain == 1)


def test_named_terms_come_in_gradually():
    objective = weighted(cls=term(losses.cross_entropy), egl=term(losses.alignment, weight=0.5))
    begins_at_10 = objective.ramped(("egl",), 10, 4)
    for step, share in ((0, 0.0), (10, 0.0), (12, 0.5), (14, 1.0), (99, 1.0)):
        loss, metrics, _ = begins_at_10(forward(), jnp.int32(step))
        expected = metrics["cls"].value() + share * 0.5 * metrics["egl"].value()
        chex.assert_trees_all_close(loss, expected, rtol=1e-6)
    # Schedules multiply; what has no weight, or no ramp, stays what it was.
    assert float(ramped(after(12, 2.0), 10, 4)(jnp.int32(13))) == 1.5
    assert ramped(0.0, 10, 4) == 0.0
    assert objective.ramped(("egl",), 10, 0) == objective


def test_a_swapped_background_is_another_images_where_the_mask_is_0():
    (classifier, _), (state, _) = networks()
    seen = []

    def watched(params, batch_stats, image, train):
        seen.append(image)
        return classifier.network.features(params, batch_stats, image, train)

    batch = small_batch()
    half = batch | {"mask": jnp.zeros((12, SIZE, SIZE, 1)).at[:, : SIZE // 2].set(1.0)}
    quantities = ClassifierForward(
        classifier.network._replace(features=watched), state.params, state.batch_stats, half,
        jax.random.key(0), lambda batch: batch["mask"], Explanation(),
    )  # fmt: skip
    assert quantities.swapped_logits.shape == (12, 3)
    (swapped,) = seen
    chex.assert_trees_all_close(swapped[:, : SIZE // 2], batch["image"][:, : SIZE // 2], atol=1e-6)
    removed, images = np.asarray(swapped[:, SIZE // 2 :]), np.asarray(batch["image"][:, SIZE // 2 :])
    other = [int(np.argmin([np.abs(row - image).max() for image in images])) for row in removed]
    np.testing.assert_allclose(removed, images[other], atol=1e-6)
    assert sorted(other) == list(range(12)) != other
    value = losses.swapped_cross_entropy(quantities.swapped_logits, quantities.label)
    chex.assert_trees_all_close(value, losses.cross_entropy(quantities.classify(swapped), quantities.label), rtol=1e-5)


def test_switch_changes_a_weight():
    schedule = switch(10, 1.0, 100.0)
    assert [float(schedule(jnp.int32(step))) for step in (0, 9, 10, 11)] == [1, 1, 100, 100]


def test_what_is_carried_is_updated_before_terms_read_it_and_gets_no_gradient():
    count = Carried(lambda domains: jnp.full(domains, 2.0), lambda count, logits: count + logits.sum() ** 0)
    objective = weighted(carried={"count": count}, mine=term(lambda count, logits: count.sum() * logits.sum() ** 0))
    carried = objective.initial_carried(3)
    np.testing.assert_array_equal(carried["count"], [2, 2, 2])
    loss, _, carried = objective(forward(), jnp.int32(0), carried)
    np.testing.assert_array_equal(carried["count"], [3, 3, 3])
    assert float(loss) == 9

    squared = Carried(lambda domains: jnp.zeros(()), lambda squared, logits: (logits**2).sum())
    objective = weighted(carried={"squared": squared}, mine=term(lambda squared, logits: squared * logits.sum()))

    def value(logits):
        quantities = forward()
        vars(quantities)["logits"] = logits
        return objective(quantities, jnp.int32(0), objective.initial_carried(1))[0]

    logits = forward().logits
    np.testing.assert_allclose(jax.grad(value)(logits), jnp.full_like(logits, (logits**2).sum()), rtol=1e-5)


def test_a_term_that_names_what_is_not_there_is_refused_with_what_is():
    objective = weighted(mine=term(lambda attention: attention))
    with pytest.raises(ValueError, match=r"'mine' asks for 'attention'.*it has .*features, image, label, logits"):
        objective(forward(), jnp.int32(0))


def test_masks_and_domains_are_only_there_where_the_batch_has_them():
    batch = {name: value for name, value in small_batch().items() if name != "domain"}
    assert {"mask", "domain"} <= forward().names()
    assert not {"mask", "domain"} & forward(masks=None, batch=batch).names()


def test_every_name_can_be_read():
    (_, masker), (_, masker_state) = networks()
    for quantities in (
        forward(),
        MaskerForward(
            masker.network, masker_state.params, masker_state.batch_stats, small_batch(),
            lambda image: image.mean((1, 2)), jnp.zeros_like,
        ),
    ):  # fmt: skip
        for name in quantities.names():
            value = getattr(quantities, name)
            if name in ("classify", "predict"):
                value = value(quantities.image)
            examples = {"membership": -1, "random_key": None}.get(name, 0)
            assert examples is None or value.shape[examples] == 12, name


@pytest.mark.parametrize("mask", [0.0, 0.25, 1.0])
def test_masked_images_are_what_the_paper_says(mask):
    """x M and x (1 - M), the removed part replaced by the fill."""
    (_, masker), (_, state) = networks()
    seen = []

    def frozen_logits(image):
        seen.append(image.reshape(12, 2, SIZE, SIZE, 3))
        return image.mean((1, 2))

    constant = masker.network._replace(mask=lambda *_: (jnp.full((12, SIZE, SIZE, 1), mask), {}))
    batch = small_batch()
    for fill in (0.0, 0.5):
        quantities = MaskerForward(
            constant, state.params, state.batch_stats, batch, frozen_logits, lambda x, fill=fill: jnp.full_like(x, fill)
        )
        _ = quantities.probability_kept, quantities.probability_removed
        chex.assert_trees_all_close(seen[-1][:, 0], mask * batch["image"] + (1 - mask) * fill, atol=1e-6)
        chex.assert_trees_all_close(seen[-1][:, 1], (1 - mask) * batch["image"] + mask * fill, atol=1e-6)


def test_means_merge_by_their_counts():
    merged = Mean(jnp.float32(6) + jnp.float32(4), jnp.float32(3) + jnp.float32(1))
    assert float(merged.value()) == 2.5
