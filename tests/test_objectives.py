"""Terms get the quantities that they name; weights may be schedules; unknown names are refused."""

import dataclasses
import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses
from align_jax.algorithms import align
from align_jax.fills import FILLS
from align_jax.forward import ClassifierForward, MaskerForward, SaliencySettings
from align_jax.objectives import Carried, Mean, Sizes, after, fetch, merge, ramped, switch, term, weighted
from align_jax.swaps import SwapSettings
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
        SaliencySettings(),
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


def test_the_guidance_of_align_reads_the_labels_map_or_all_classes_evidence():
    quantities = forward()
    expected = {
        ("bce", "cam"): losses.alignment(quantities.saliency, quantities.mask),
        ("bce", "image"): losses.alignment_at_image_resolution(quantities.saliency, quantities.mask),
        ("energy", "cam"): losses.energy(quantities.evidence, quantities.mask),
        ("energy", "image"): losses.energy_at_image_resolution(quantities.evidence, quantities.mask),
    }
    assert len({float(values.mean()) for values in expected.values()}) == len(expected)
    for (form, resolution), values in expected.items():
        objective = align.classifier_objective(form=form, resolution=resolution, regularisation=0.0)
        _, metrics, _ = objective(quantities, jnp.int32(0))
        chex.assert_trees_all_close(metrics["egl"].value(), values.mean(), rtol=1e-6)
    _, metrics, _ = align.classifier_objective(regularisation=0.0)(quantities, jnp.int32(0))
    chex.assert_trees_all_close(metrics["egl"].value(), expected["bce", "cam"].mean(), rtol=1e-6)


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

    def counted(params, batch_stats, image, train, key):
        passes.append(image.shape)
        return classifier.network.features(params, batch_stats, image, train, key)

    quantities = ClassifierForward(
        classifier.network._replace(features=counted), state.params, state.batch_stats, small_batch(),
        jax.random.key(0), lambda batch: batch["mask"], SaliencySettings(),
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


def test_one_objective_turns_into_another_gradually():
    before = weighted(cls=term(losses.cross_entropy), smoothness=term(losses.smoothness, weight=2.0))
    after_it = weighted(cls=term(losses.cross_entropy, weight=0.0), egl=term(losses.alignment, weight=0.5))
    ramp = after_it.ramped(before, 10, 4)
    for step, share in ((0, 0.0), (10, 0.0), (12, 0.5), (14, 1.0), (99, 1.0)):
        loss, metrics, _ = ramp(forward(), jnp.int32(step))
        value = {name: metrics[name].value() for name in ("cls", "egl", "smoothness")}
        expected = (1 - share) * (value["cls"] + 2 * value["smoothness"]) + share * 0.5 * value["egl"]
        chex.assert_trees_all_close(loss, expected, rtol=1e-6)
    at_once = after_it.ramped(before, 10, 0)
    for step, expected in ((9, value["cls"] + 2 * value["smoothness"]), (10, 0.5 * value["egl"])):
        chex.assert_trees_all_close(at_once(forward(), jnp.int32(step))[0], expected, rtol=1e-6)
    # Schedules count too; a weight that is the same in both stays a number.
    assert float(ramped(0.0, after(12, 2.0), 10, 4)(jnp.int32(13))) == 1.5
    assert ramped(1.0, 1.0, 10, 4) == 1.0


def with_composites(mask, **settings):
    """A forward pass on the small batch with this mask, and the list of the images that go through the network."""
    (classifier, _), (state, _) = networks()
    seen = []

    def watched(params, batch_stats, image, train, key):
        seen.append(image)
        return classifier.network.features(params, batch_stats, image, train, key)

    quantities = ClassifierForward(
        classifier.network._replace(features=watched), state.params, state.batch_stats, small_batch(),
        jax.random.key(0), lambda batch: mask, SaliencySettings(), swap_settings=SwapSettings(**settings),
    )  # fmt: skip
    return quantities, seen


def test_a_swapped_background_is_another_images_where_the_mask_is_0():
    batch = small_batch()
    quantities, seen = with_composites(jnp.zeros((12, SIZE, SIZE, 1)).at[:, : SIZE // 2].set(1.0))
    assert quantities.swapped_logits.shape == (12, 3)
    (swapped,) = seen
    chex.assert_trees_all_close(swapped[:, : SIZE // 2], batch["image"][:, : SIZE // 2], atol=1e-6)
    removed, images = np.asarray(swapped[:, SIZE // 2 :]), np.asarray(batch["image"][:, SIZE // 2 :])
    other = [int(np.argmin([np.abs(row - image).max() for image in images])) for row in removed]
    np.testing.assert_allclose(removed, images[other], atol=1e-6)
    assert sorted(other) == list(range(12)) != other
    value = losses.swapped_cross_entropy(quantities.swapped_logits, quantities.label)
    chex.assert_trees_all_close(value, losses.cross_entropy(quantities.classify(swapped), quantities.label), rtol=1e-5)


def test_a_swapped_background_has_its_object_filled_in_and_the_mask_is_sharpened():
    batch = small_batch()
    mask = jnp.full((12, SIZE, SIZE, 1), 0.25).at[:, : SIZE // 2].set(0.75)
    quantities, seen = with_composites(mask, fill="black", partner="other_class", sharpness=8.0)
    _ = quantities.swapped_logits
    kept = 1 / (1 + np.exp(-8 * (np.asarray(mask) - 0.5)))
    black = FILLS["black"](batch["image"])
    backgrounds = np.asarray(jnp.where(mask > 0.5, black, batch["image"]))
    background = (np.asarray(seen[0]) - kept * batch["image"]) / (1 - kept)
    other = [int(np.argmin([np.abs(row - known).max() for known in backgrounds])) for row in background]
    np.testing.assert_allclose(background, backgrounds[other], atol=1e-4)
    assert (np.asarray(batch["label"])[other] != np.asarray(batch["label"])).all()


def test_the_masker_may_be_shown_other_images_in_place_of_what_it_removes():
    (_, masker), (_, state) = networks()
    seen = []

    def frozen_logits(image):
        seen.append(np.asarray(image).reshape(12, 2, SIZE, SIZE, 3))
        return image.mean((1, 2))

    half = jnp.zeros((12, SIZE, SIZE, 1)).at[:, : SIZE // 2].set(1.0)
    batch = small_batch()
    quantities = MaskerForward(
        masker.network._replace(mask=lambda *_: (half, {})), state.params, state.batch_stats, batch, jax.random.key(0),
        frozen_logits, jnp.zeros_like, SwapSettings("black"),
    )  # fmt: skip
    _ = quantities.probability_kept
    image, (kept, removed) = np.asarray(batch["image"]), seen[0].swapaxes(0, 1)
    top, bottom = slice(None, SIZE // 2), slice(SIZE // 2, None)
    np.testing.assert_allclose(kept[:, top], image[:, top], atol=1e-6)
    np.testing.assert_allclose(removed[:, bottom], image[:, bottom], atol=1e-6)
    other = [int(np.argmin([np.abs(row - known).max() for known in image[:, bottom]])) for row in kept[:, bottom]]
    np.testing.assert_allclose(kept[:, bottom], image[other][:, bottom], atol=1e-6)
    np.testing.assert_allclose(removed[:, top], image[other][:, top], atol=1e-6)
    assert sorted(other) == list(range(12)) != other


def test_switch_changes_a_weight():
    schedule = switch(10, 1.0, 100.0)
    assert [float(schedule(jnp.int32(step))) for step in (0, 9, 10, 11)] == [1, 1, 100, 100]


def test_what_is_carried_is_updated_before_terms_read_it_and_gets_no_gradient():
    count = Carried(lambda sizes: jnp.full(sizes.num_domains, 2.0), lambda count, logits: count + logits.sum() ** 0)
    objective = weighted(carried={"count": count}, mine=term(lambda count, logits: count.sum() * logits.sum() ** 0))
    carried = objective.initial_carried(Sizes(num_domains=3, num_classes=5))
    np.testing.assert_array_equal(carried["count"], [2, 2, 2])
    loss, _, carried = objective(forward(), jnp.int32(0), carried)
    np.testing.assert_array_equal(carried["count"], [3, 3, 3])
    assert float(loss) == 9

    squared = Carried(lambda sizes: jnp.zeros(()), lambda squared, logits: (logits**2).sum())
    objective = weighted(carried={"squared": squared}, mine=term(lambda squared, logits: squared * logits.sum()))

    def value(logits):
        quantities = forward()
        vars(quantities)["logits"] = logits
        return objective(quantities, jnp.int32(0), objective.initial_carried(Sizes(1, 3)))[0]

    logits = forward().logits
    np.testing.assert_allclose(jax.grad(value)(logits), jnp.full_like(logits, (logits**2).sum()), rtol=1e-5)


def test_prototypes_of_the_classes_can_be_carried():
    """Shapes of classes as well as of domains."""

    def update(prototypes, logits, label):
        members = label[None] == jnp.arange(prototypes.shape[0])[:, None]
        return 0.5 * prototypes + 0.5 * members @ logits / members.sum(1, keepdims=True)

    carried = {"prototypes": Carried(lambda sizes: jnp.zeros((sizes.num_classes, sizes.num_classes)), update)}
    distance = lambda logits, label, prototypes: ((logits - prototypes[label]) ** 2).sum(-1)  # noqa: E731
    objective = weighted(carried=carried, compact=term(distance))
    start = objective.initial_carried(Sizes(num_domains=2, num_classes=3))
    quantities = forward()
    loss, _, after = objective(quantities, jnp.int32(0), start)
    logits, label = np.asarray(quantities.logits), np.asarray(quantities.label)
    means = np.stack([logits[label == number].mean(0) for number in range(3)])
    np.testing.assert_allclose(after["prototypes"], means / 2, rtol=1e-5)
    np.testing.assert_allclose(loss, ((logits - means[label] / 2) ** 2).sum(-1).mean(), rtol=1e-5)


# ---- watched functions -----------------------------------------------------------------------------------------------


def largest_logit(logits):
    return logits.max(-1)


def test_what_is_watched_is_logged_and_not_trained_on():
    plain = weighted(cls=term(losses.cross_entropy))
    watching = weighted(
        cls=term(losses.cross_entropy),
        watch={"largest": largest_logit, "spread": lambda saliency: saliency.std(), "right": is_right},
    )

    def loss_and_gradient(objective):
        def loss(params):
            value, metrics, _ = objective(dataclasses.replace(forward(), params=params), jnp.int32(0))
            return value, metrics

        return jax.jit(jax.value_and_grad(loss, has_aux=True))(forward().params)

    (loss, metrics), gradient = loss_and_gradient(watching)
    (expected_loss, expected_metrics), expected = loss_and_gradient(plain)
    chex.assert_trees_all_close((loss, gradient), (expected_loss, expected), rtol=1e-5, atol=1e-7)
    assert metrics.keys() == expected_metrics.keys() | {"largest", "spread", "right"}
    quantities, values = forward(), fetch(metrics)
    np.testing.assert_allclose(values["largest"], quantities.logits.max(-1).mean(), rtol=1e-5)
    np.testing.assert_allclose(values["spread"], quantities.saliency.std(), rtol=1e-5)
    np.testing.assert_allclose(values["right"], (quantities.logits.argmax(-1) == quantities.label).mean())


def is_right(logits, label):
    return logits.argmax(-1) == label


def test_no_gradient_passes_through_what_is_watched():
    objective = weighted(cls=term(losses.cross_entropy), watch={"largest": largest_logit})

    def watched(logits):
        quantities = forward()
        vars(quantities)["logits"] = logits
        return objective(quantities, jnp.int32(0))[1]["largest"].value()

    assert (jax.grad(watched)(forward().logits) == 0).all()


def test_what_is_carried_can_be_watched_as_it_is_after_its_update():
    count = Carried(lambda sizes: jnp.zeros(sizes.num_domains), lambda count, logits: count + 2)
    objective = weighted(
        cls=term(losses.cross_entropy), carried={"count": count}, watch={"count_of_all": lambda count: count.sum()}
    )
    _, metrics, _ = objective(forward(), jnp.int32(0), objective.initial_carried(Sizes(3, 3)))
    assert fetch(metrics)["count_of_all"] == 6


def test_a_watched_average_is_the_terms_own():
    """So that a term can be watched before it is trained on, whatever the reduction."""
    reduced = {"reduction": losses.mean_over_classes, "cls": term(losses.cross_entropy)}
    batch = small_batch() | {"label": jnp.array([0, 0, 0, 0, 0, 0, 0, 1, 1, 2, 2, 2])}
    trained, watched = (
        objective(forward(batch=batch), jnp.int32(0))[1]["largest"]
        for objective in (
            weighted(**reduced, largest=term(largest_logit)),
            weighted(**reduced, watch={"largest": largest_logit}),
        )
    )
    chex.assert_trees_all_equal(trained, watched)
    assert not np.isclose(float(watched.value()), float(forward(batch=batch).logits.max(-1).mean()))


def test_what_nothing_watches_is_not_in_the_program():
    plain = weighted(cls=term(losses.cross_entropy))
    watching = weighted(cls=term(losses.cross_entropy), watch={"spread": lambda saliency: saliency.std()})

    def program(objective):
        def value(image):
            return objective(forward(batch=small_batch() | {"image": image}), jnp.int32(0))[:2]

        return jax.jit(value).lower(small_batch()["image"]).as_text()

    assert program(plain) == program(weighted(cls=term(losses.cross_entropy), watch={}))
    assert program(plain) == program(watching.without("spread")) != program(watching)


@pytest.mark.parametrize(
    "named",
    [
        {"watch": {"cls": largest_logit}},
        {"watch": {"loss": largest_logit}},
        {"watch": {"accuracy": is_right}},
        {"gradient_norm": term(largest_logit)},
    ],
)
def test_no_two_metrics_have_one_name(named):
    name = next(iter(named.get("watch", named)))
    with pytest.raises(ValueError, match=f"'{name}' would name two metrics"):
        weighted(cls=term(losses.cross_entropy), **named)


# ---- refused objectives ----------------------------------------------------------------------------------------------


def test_a_term_that_names_what_is_not_there_is_refused_with_what_is():
    objective = weighted(mine=term(lambda attention: attention))
    with pytest.raises(ValueError, match=r"'mine' asks for 'attention'.*it has .*features, image, label, logits"):
        objective(forward(), jnp.int32(0))


def named_mask(name):
    return {
        "term": weighted(cls=term(losses.cross_entropy), **{name: term(losses.alignment)}),
        "watch": weighted(cls=term(losses.cross_entropy), watch={name: lambda mask: mask.mean()}),
        "carried": weighted(
            cls=term(losses.cross_entropy),
            carried={name: Carried(lambda sizes: jnp.zeros(()), lambda mask: mask.mean())},
        ),
    }


@pytest.mark.parametrize("where", ["term", "watch", "carried"])
def test_without_masks_what_names_them_is_refused_with_both_remedies(where):
    objective = named_mask("egl")[where]
    with pytest.raises(ValueError, match=r"'egl' asks for 'mask', but no masks were given: pass masks= .*") as caught:
        objective(forward(masks=None), jnp.int32(0))
    # The remedy that the message names works.
    remedy = str(caught.value).rpartition("out: ")[2].rstrip(".")
    assert remedy == "objective.without('egl')"
    loss, metrics, carried = objective.without("egl")(forward(masks=None), jnp.int32(0), {"egl": jnp.ones(())})
    assert set(metrics) == {"cls", "loss"}
    np.testing.assert_array_equal(carried["egl"], 1)
    assert np.isfinite(loss)
    assert np.isfinite(objective(forward(), jnp.int32(0))[0])


def test_without_domains_what_names_them_is_refused_with_both_remedies():
    batch = {name: value for name, value in small_batch().items() if name != "domain"}
    objective = weighted(cls=term(losses.cross_entropy), fair=term(lambda logits, membership: logits.mean()))
    with pytest.raises(
        ValueError, match=r"'membership', but the batch has no 'domain': .*objective\.without\('fair'\)"
    ):
        objective(forward(batch=batch), jnp.int32(0))


def test_masks_and_domains_are_only_there_where_the_batch_has_them():
    batch = {name: value for name, value in small_batch().items() if name != "domain"}
    assert {"mask", "domain"} <= forward().names()
    assert not {"mask", "domain"} & forward(masks=None, batch=batch).names()


def test_every_name_can_be_read():
    (_, masker), (_, masker_state) = networks()
    for quantities in (
        forward(),
        MaskerForward(
            masker.network, masker_state.params, masker_state.batch_stats, small_batch(), jax.random.key(0),
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
            constant, state.params, state.batch_stats, batch, jax.random.key(0), frozen_logits,
            lambda x, fill=fill: jnp.full_like(x, fill),
        )  # fmt: skip
        _ = quantities.probability_kept, quantities.probability_removed
        chex.assert_trees_all_close(seen[-1][:, 0], mask * batch["image"] + (1 - mask) * fill, atol=1e-6)
        chex.assert_trees_all_close(seen[-1][:, 1], (1 - mask) * batch["image"] + mask * fill, atol=1e-6)


def test_means_merge_by_their_counts_and_are_fetched_as_numbers():
    first = {"loss": Mean(jnp.float32(6), jnp.float32(3)), "first": Mean(jnp.float32(1), jnp.float32(4))}
    second = {"loss": Mean(jnp.float32(4), jnp.float32(1)), "second": Mean(jnp.float32(1), jnp.float32(3))}
    merged = merge(first, second)
    assert fetch(merged) == {"loss": 2.5, "first": 0.25, "second": float(np.float32(1) / np.float32(3))}
    assert all(type(value) is float for value in fetch(merged).values())
    assert fetch(merged) == {name: float(mean.value()) for name, mean in merged.items()}
