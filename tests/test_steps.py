"""What an update must and must not change, whatever the networks are."""

import functools

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax import losses
from align_jax.forward import SaliencySettings
from align_jax.objectives import term, weighted
from align_jax.steps import align_round, classifier_step, learned_masks, masker_step
from tests.small_networks import small_batch, small_states, small_updates

KEY = jax.random.key(7)


def frozen_logits(classifier, state):
    return lambda image: classifier.network.logits(state.params, state.batch_stats, image)


def test_masker_step_changes_the_masker_and_nothing_of_the_classifier():
    """Two updates of the masker and none of the classifier leave the classifier equal to the last bit."""
    classifier, masker = small_updates()
    states = small_states(classifier, masker)
    step = functools.partial(align_round, classifier, masker, masker_steps=2, classifier_steps=0)
    after, new_masker, metrics = jax.jit(step)(*states, [small_batch(0), small_batch(1)], KEY)
    chex.assert_trees_all_equal(after, states[0])
    assert int(new_masker.step) == 2
    for old, new in zip(jax.tree.leaves(states[1].params), jax.tree.leaves(new_masker.params), strict=True):
        assert not np.array_equal(old, new)
    assert 0 < float(metrics["masker/mask_mean"].value()) < 1


def test_a_rounds_classifier_update_leaves_the_masker_bit_identical():
    classifier, masker = small_updates()
    states = small_states(classifier, masker)
    batch = small_batch()
    after_masker_alone, _ = jax.jit(
        lambda classifier_state, masker_state: masker_step(
            masker, masker_state, batch, KEY, frozen_logits(classifier, classifier_state)
        )
    )(*states)
    new_classifier, after_round, _ = jax.jit(lambda *states: align_round(classifier, masker, *states, [batch], KEY))(
        *states
    )
    chex.assert_trees_all_equal(after_round, after_masker_alone)
    assert int(new_classifier.step) == 1
    assert not np.array_equal(new_classifier.params["linear"]["kernel"], states[0].params["linear"]["kernel"])


def test_masked_images_do_not_reach_the_classifiers_statistics():
    """The round's statistics are those of one clean pass: neither masked nor mixed images leave a trace."""
    classifier, masker = small_updates()
    states = small_states(classifier, masker)
    batch = small_batch()
    new_classifier, _, _ = jax.jit(lambda *states: align_round(classifier, masker, *states, [batch], KEY))(*states)
    _, clean = classifier.network.features(states[0].params, states[0].batch_stats, batch["image"], True, KEY)
    chex.assert_trees_all_close(new_classifier.batch_stats, clean, rtol=1e-6)
    assert not np.allclose(clean["norm"]["mean"], states[0].batch_stats["norm"]["mean"])


def test_no_gradient_of_the_alignment_reaches_the_masker():
    classifier, masker = small_updates()
    classifier_state, masker_state = small_states(classifier, masker)

    def loss(masker_params):
        masks = learned_masks(masker.network, masker_state.replace(params=masker_params))
        _, metrics = classifier_step(classifier, classifier_state, small_batch(), KEY, masks)
        return metrics["egl"].value()

    gradient = jax.jit(jax.grad(loss))(masker_state.params)
    assert all((leaf == 0).all() for leaf in jax.tree.leaves(gradient))


def test_jit_equals_eager():
    classifier, masker = small_updates(optimizer=optax.sgd(0.1))
    states = small_states(classifier, masker)
    step = functools.partial(align_round, classifier, masker)
    eager = step(*states, [small_batch()], KEY)
    jitted = jax.jit(step)(*states, [small_batch()], KEY)
    chex.assert_trees_all_close(jitted, eager, rtol=2e-4, atol=2e-5)


def test_one_trace_serves_every_round():
    classifier, masker = small_updates()
    states = small_states(classifier, masker)

    @chex.assert_max_traces(n=1)
    def advance(classifier_state, masker_state, batch):
        return align_round(classifier, masker, classifier_state, masker_state, [batch], KEY)

    step = jax.jit(advance, donate_argnums=(0, 1))
    for seed in range(4):
        *states, _ = step(*states, small_batch(seed))
    assert int(states[0].step) == int(states[1].step) == 4


def test_randomness_is_a_function_of_key_and_step():
    classifier, masker = small_updates()
    state, _ = small_states(classifier, masker)
    masks = lambda batch: batch["mask"]  # noqa: E731
    step = jax.jit(lambda state, key: classifier_step(classifier, state, small_batch(), key, masks))
    chex.assert_trees_all_equal(step(state, KEY), step(state, KEY))
    other_key = step(state, jax.random.key(8))[1]["consistency"].value()
    other_step = step(state.replace(step=jnp.int32(5)), KEY)[1]["consistency"].value()
    assert len({float(step(state, KEY)[1]["consistency"].value()), float(other_key), float(other_step)}) == 3


@pytest.mark.parametrize(("masker_steps", "classifier_steps"), [(1, 1), (3, 1), (1, 2)])
def test_a_round_counts_its_updates_and_takes_the_first_batches(masker_steps, classifier_steps):
    classifier, masker = small_updates(optimizer=optax.sgd(0.1))
    states = small_states(classifier, masker)
    batches = [small_batch(seed) for seed in range(max(masker_steps, classifier_steps))]
    step = functools.partial(
        align_round, classifier, masker, masker_steps=masker_steps, classifier_steps=classifier_steps
    )
    new_classifier, new_masker, metrics = jax.jit(step)(*states, batches, KEY)
    assert (int(new_masker.step), int(new_classifier.step)) == (masker_steps, classifier_steps)
    assert float(metrics["masker/loss"].examples) == 12 * masker_steps
    assert float(metrics["classifier/loss"].examples) == 12 * classifier_steps
    expected = states[1]
    frozen = frozen_logits(classifier, states[0])
    alone = jax.jit(lambda state, batch: masker_step(masker, state, batch, KEY, frozen)[0])
    for batch in batches[:masker_steps]:
        expected = alone(expected, batch)
    chex.assert_trees_all_close(new_masker, expected, rtol=1e-4, atol=1e-6)


def test_a_wrong_number_of_batches_is_refused():
    classifier, masker = small_updates()
    with pytest.raises(ValueError, match="takes 2 batches, not 1"):
        align_round(classifier, masker, *small_states(classifier, masker), [small_batch()], KEY, masker_steps=2)


def test_without_guidance_and_regulariser_the_step_is_erm():
    """L_clf with l3 = l4 = 0 is cross-entropy, to the last bit."""
    bare, masker = small_updates(guidance=0.0, regularisation=0.0)
    state, _ = small_states(bare, masker)
    erm = bare._replace(objective=weighted(cls=term(losses.cross_entropy)))
    first, second = (
        jax.jit(lambda state, update=update: classifier_step(update, state, small_batch(), KEY))(state)
        for update in (bare, erm)
    )
    chex.assert_trees_all_equal(first, second)


def test_terms_without_weight_are_not_in_the_program():
    """Without guidance the masks are never asked for; without the regulariser nothing is mixed."""
    bare, masker = small_updates(guidance=0.0, regularisation=0.0)
    full, _ = small_updates()
    state, _ = small_states(bare, masker)

    def masks(batch):
        raise AssertionError("asked for masks that no term reads")

    def flops(update, masks):
        step = jax.jit(lambda state, batch: classifier_step(update, state, batch, KEY, masks))
        return step.lower(state, small_batch()).compile().cost_analysis()["flops"]

    assert flops(full, lambda batch: batch["mask"]) > 1.7 * flops(bare, masks)


@pytest.mark.parametrize(
    ("changes", "name", "quantity"), [({}, "egl", "mask"), ({"guidance": 0.0}, "swapped_cls", "swapped_logits")]
)
def test_a_guided_term_without_masks_is_refused_before_anything_is_compiled(changes, name, quantity):
    classifier, masker = small_updates(swapped_cls=0.5, **changes)
    state, _ = small_states(classifier, masker)
    step = jax.jit(lambda state: classifier_step(classifier, state, small_batch(), KEY))
    message = rf"'{name}' asks for '{quantity}', but no masks were given: pass masks=.*objective\.without\('{name}'\)"
    with pytest.raises(ValueError, match=message):
        step.lower(state)
    unguided = classifier._replace(objective=classifier.objective.without("egl", "swapped_cls"))
    jax.eval_shape(lambda state: classifier_step(unguided, state, small_batch(), KEY), state)


@pytest.mark.parametrize(
    ("alpha", "normalise", "as_published", "explained"),
    [
        ("differentiated", "minmax", False, "logit"),
        ("differentiated", "minmax", False, "log_probability"),
        ("differentiated", "max", False, "log_probability"),
        ("constant", "max", False, "logit"),
        ("constant", "minmax", True, "logit"),
        ("differentiated", "max", True, "logit"),
    ],
)
def test_every_variant_is_finite_on_the_edge_cases(alpha, normalise, as_published, explained):
    """One class in the batch, a blank image (zero maps), saturated masks: values and gradients stay finite."""
    classifier, masker = small_updates(
        saliency_settings=SaliencySettings(alpha=alpha, normalise=normalise, explained=explained),
        as_published=as_published,
        swapped_cls=0.5,
    )
    states = small_states(classifier, masker)
    batch = small_batch() | {"label": jnp.ones(12, jnp.int32)}
    batch["image"] = batch["image"].at[0].set(0.0)
    step = jax.jit(lambda state, batch: classifier_step(classifier, state, batch, KEY, lambda batch: batch["mask"]))
    for mask in (0.0, 1.0):
        state, metrics = step(states[0], batch | {"mask": jnp.full_like(batch["mask"], mask)})
        chex.assert_tree_all_finite((state.params, metrics))


def test_an_image_mixed_with_itself_has_no_consistency_gradient():
    """One member per class: every partner is the image itself, and only rounding remains."""
    classifier, masker = small_updates()
    classifier = classifier._replace(objective=weighted(consistency=term(losses.consistency)))
    state, _ = small_states(classifier, masker)
    batch = {name: value[:3] for name, value in small_batch().items()}
    _, metrics = jax.jit(lambda state: classifier_step(classifier, state, batch, KEY))(state)
    assert float(metrics["consistency"].value()) < 1e-5
    assert float(metrics["gradient_norm"].value()) < 1e-4
