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


def given(batch):
    return batch["mask"]


@functools.cache
def updates():
    return small_updates()


def fresh_states():
    """At step 0, in buffers of their own: a compiled round is given them, and keeps them."""
    return jax.tree.map(jnp.copy, first_states())


@functools.cache
def first_states():
    return small_states(*updates())


@functools.cache
def one_round():
    """A compiled round of one update each, for every test that needs no other; it may be traced only once."""
    classifier, masker = updates()

    @chex.assert_max_traces(n=1)
    def advance(classifier_state, masker_state, batch):
        return align_round(classifier, masker, classifier_state, masker_state, [batch], KEY)

    return jax.jit(advance, donate_argnums=(0, 1))


@functools.cache
def classifier_alone():
    """The classifier's update, compiled, guided by the batch's masks."""
    classifier, _ = updates()
    return jax.jit(lambda state, batch, key: classifier_step(classifier, state, batch, key, given))


def frozen_logits(classifier, state):
    return lambda image: classifier.network.logits(state.params, state.batch_stats, image)


def test_masker_step_changes_the_masker_and_nothing_of_the_classifier():
    """Two updates of the masker and none of the classifier leave the classifier equal to the last bit."""
    states = first_states()
    step = functools.partial(align_round, *updates(), masker_steps=2, classifier_steps=0)
    after, new_masker, metrics = jax.jit(step)(*states, [small_batch(0), small_batch(1)], KEY)
    chex.assert_trees_all_equal(after, states[0])
    assert int(new_masker.step) == 2
    for old, new in zip(jax.tree.leaves(states[1].params), jax.tree.leaves(new_masker.params), strict=True):
        assert not np.array_equal(old, new)
    assert 0 < float(metrics["masker/mask_mean"].value()) < 1


def test_a_rounds_classifier_update_leaves_the_masker_bit_identical():
    classifier, masker = updates()
    states, batch = first_states(), small_batch()
    after_masker_alone, _ = jax.jit(
        lambda classifier_state, masker_state, batch: masker_step(
            masker, masker_state, batch, KEY, frozen_logits(classifier, classifier_state)
        )
    )(*states, batch)
    new_classifier, after_round, metrics = one_round()(*fresh_states(), batch)
    chex.assert_trees_all_equal(after_round, after_masker_alone)
    assert (int(after_round.step), int(new_classifier.step)) == (1, 1)
    assert float(metrics["masker/loss"].examples) == float(metrics["classifier/loss"].examples) == 12
    assert not np.array_equal(new_classifier.params["linear"]["kernel"], states[0].params["linear"]["kernel"])


def test_masked_images_do_not_reach_the_classifiers_statistics():
    """The round's statistics are those of one clean pass: neither masked nor mixed images leave a trace."""
    (classifier, _), states, batch = updates(), first_states(), small_batch()
    new_classifier, _, _ = one_round()(*fresh_states(), batch)
    _, clean = classifier.network.features(states[0].params, states[0].batch_stats, batch["image"], True, KEY)
    chex.assert_trees_all_close(new_classifier.batch_stats, clean, rtol=1e-6)
    assert not np.allclose(clean["norm"]["mean"], states[0].batch_stats["norm"]["mean"])


def test_no_gradient_of_the_alignment_reaches_the_masker():
    (classifier, masker), (classifier_state, masker_state) = updates(), first_states()

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
    states = fresh_states()
    for seed in range(4):
        *states, _ = one_round()(*states, small_batch(seed))
    assert int(states[0].step) == int(states[1].step) == 4


def test_randomness_is_a_function_of_key_and_step():
    state, _ = first_states()
    step = lambda state, key: classifier_alone()(state, small_batch(), key)  # noqa: E731
    chex.assert_trees_all_equal(step(state, KEY), step(state, KEY))
    other_key = step(state, jax.random.key(8))[1]["consistency"].value()
    other_step = step(state.replace(step=jnp.int32(5)), KEY)[1]["consistency"].value()
    assert len({float(step(state, KEY)[1]["consistency"].value()), float(other_key), float(other_step)}) == 3


@pytest.mark.parametrize(("masker_steps", "classifier_steps"), [(3, 1), (1, 2)])
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
    with pytest.raises(ValueError, match="takes 2 batches, not 1"):
        align_round(*updates(), *first_states(), [small_batch()], KEY, masker_steps=2)


def test_without_guidance_and_regulariser_the_step_is_erm():
    """L_clf with l3 = l4 = 0 is cross-entropy, to the last bit."""
    bare, _ = small_updates(guidance=0.0, regularisation=0.0)
    state, _ = first_states()
    erm = bare._replace(objective=weighted(cls=term(losses.cross_entropy)))
    first, second = (
        jax.jit(lambda state, update=update: classifier_step(update, state, small_batch(), KEY))(state)
        for update in (bare, erm)
    )
    chex.assert_trees_all_equal(first, second)


def test_terms_without_weight_are_not_in_the_program():
    """Without guidance the masks are never asked for; without the regulariser nothing is mixed."""
    bare, _ = small_updates(guidance=0.0, regularisation=0.0)
    state, _ = first_states()

    def masks(batch):
        raise AssertionError("asked for masks that no term reads")

    def flops(step):
        return step.lower(state, small_batch(), KEY).compile().cost_analysis()["flops"]

    without = jax.jit(lambda state, batch, key: classifier_step(bare, state, batch, key, masks))
    assert flops(classifier_alone()) > 1.7 * flops(without)


@pytest.mark.parametrize(
    ("changes", "name", "quantity"), [({}, "egl", "mask"), ({"guidance": 0.0}, "swapped_cls", "swapped_logits")]
)
def test_a_guided_term_without_masks_is_refused_before_anything_is_compiled(changes, name, quantity):
    classifier, _ = small_updates(swapped_cls=0.5, **changes)
    state, _ = first_states()
    step = jax.jit(lambda state: classifier_step(classifier, state, small_batch(), KEY))
    message = rf"'{name}' asks for '{quantity}', but no masks were given: pass masks=.*objective\.without\('{name}'\)"
    with pytest.raises(ValueError, match=message):
        step.lower(state)
    unguided = classifier._replace(objective=classifier.objective.without("egl", "swapped_cls"))
    jax.eval_shape(lambda state: classifier_step(unguided, state, small_batch(), KEY), state)


VARIANTS = [  # alpha, normalise, as published, explained
    ("differentiated", "minmax", False, "logit"),
    ("differentiated", "minmax", False, "log_probability"),
    ("differentiated", "max", False, "log_probability"),
    ("constant", "max", False, "logit"),
    ("constant", "minmax", True, "logit"),
    ("differentiated", "max", True, "logit"),
]


@functools.cache
def edge_cases():
    """Each variant's (params, metrics) after one class in the batch, a blank image, saturated masks and zero maps.

    One program for all: they share the draws and the passes through the network, which take longest to compile.
    """
    classifiers = [
        small_updates(
            saliency_settings=SaliencySettings(alpha=alpha, normalise=normalise, explained=explained),
            as_published=as_published,
            swapped_cls=0.5,
        )[0]
        for alpha, normalise, as_published, explained in VARIANTS
    ]
    batch = small_batch() | {"label": jnp.ones(12, jnp.int32)}
    batch["image"] = batch["image"].at[0].set(0.0)

    @jax.jit
    def steps(state, batch):
        after = [classifier_step(c, state, batch, KEY, given) for c in classifiers]
        return [(state.params, metrics) for state, metrics in after]

    start, _ = first_states()
    # A head of zeros has zero maps.
    zeros = start.replace(params=start.params | {"linear": jax.tree.map(jnp.zeros_like, start.params["linear"])})
    masks = [jnp.full_like(batch["mask"], share) for share in (0.0, 1.0)]
    after = [steps(state, batch | {"mask": mask}) for state in (start, zeros) for mask in masks]
    return dict(zip(VARIANTS, zip(*after, strict=True), strict=True))


@pytest.mark.parametrize("variant", VARIANTS, ids=lambda variant: "-".join(map(str, variant)))
def test_every_variant_is_finite_on_the_edge_cases(variant):
    for after in edge_cases()[variant]:
        chex.assert_tree_all_finite(after)


def test_an_image_mixed_with_itself_has_no_consistency_gradient():
    """One member per class: every partner is the image itself, and only rounding remains."""
    classifier, _ = updates()
    classifier = classifier._replace(objective=weighted(consistency=term(losses.consistency)))
    state, _ = first_states()
    batch = {name: value[:3] for name, value in small_batch().items()}
    _, metrics = jax.jit(lambda state: classifier_step(classifier, state, batch, KEY))(state)
    assert float(metrics["consistency"].value()) < 1e-5
    assert float(metrics["gradient_norm"].value()) < 1e-4
