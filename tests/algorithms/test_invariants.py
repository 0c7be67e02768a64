"""What must hold of the methods beside each other: which is which, what they carry, and that nothing breaks them."""

import functools
import signal

import chex
import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax import losses
from align_jax.algorithms import ALGORITHMS, background_swap
from align_jax.configuration import default_config
from align_jax.networks import masker_from_linen
from align_jax.objectives import fetch
from align_jax.optimizers import OPTIMIZERS, learning_rate, optimizer
from align_jax.runtime.interruption import Interrupted
from align_jax.states import create_masker_state
from align_jax.steps import align_round, classifier_step, learned_masks
from align_jax.training.loop import train_and_evaluate
from align_jax.training.progress import Progress
from tests.processes import states
from tests.small_networks import SIZE, SmallMasker, small_batch, small_method, small_state, small_updates
from tests.tiny_config import get_config

KEY = jax.random.key(7)
WEIGHTED = ("sgt", "irm", "vrex", "coral", "rrr", "gradia", "haics")


def given(batch):
    return batch["mask"]


@functools.cache
def default_method(name):
    return small_method(name)


def trained(update, steps=3, masks=given, batches=small_batch):
    """The states before, between and after some updates, and the updates' metrics."""
    step, visited, metrics = jax.jit(lambda s, b: classifier_step(update, s, b, KEY, masks)), [small_state(update)], []
    for number in range(steps):
        state, new = step(visited[-1], batches(number))
        visited.append(state)
        metrics.append(fetch(new))
    return visited, metrics


def program(update, masks=given):
    step = jax.jit(lambda state, batch: classifier_step(update, state, batch, KEY, masks))
    return step.lower(small_state(update), small_batch()).as_text()


# ---- which method is which -------------------------------------------------------------------------------------------


def test_align_without_guidance_is_dre():
    """l3 = 0: to the last bit over several rounds, in which a masker is trained that guides nothing."""
    align, dre = small_method("align", {"align.classifier.guidance": 0.0}), small_method("dre")
    _, masker = small_updates()
    masker_state = create_masker_state(
        masker.network, masker.optimizer, jax.random.key(1), jnp.zeros((1, SIZE, SIZE, 3))
    )
    state = small_state(align)
    advance = jax.jit(lambda state, masker_state, batch: align_round(align, masker, state, masker_state, [batch], KEY))
    for number in range(3):
        state, masker_state, _ = advance(state, masker_state, small_batch(number))
    assert int(masker_state.step) == 3
    chex.assert_trees_all_equal(state, trained(dre, masks=None)[0][-1])
    # And the other way round: with l3 they differ, so that the comparison can fail.
    assert not np.array_equal(
        trained(small_method("align"))[0][-1].params["linear"]["bias"], state.params["linear"]["bias"]
    )


def test_as_published_is_dre_too():
    changes = {"align.classifier.as_published": True}
    align = small_method("align", changes | {"align.classifier.guidance": 0.0})
    assert program(align, None) == program(small_method("dre", changes), None) != program(small_method("dre"), None)


@pytest.mark.parametrize("name", ["irm", "vrex"])
def test_without_weight_it_is_erm(name):
    changed, erm = small_method(name, {f"{name}.weight": 0.0}), small_method("erm")
    chex.assert_trees_all_equal(trained(changed)[0], trained(erm)[0])
    assert "RestartingState" not in str(jax.tree.structure(small_state(changed)))


def test_group_dro_with_one_domain_is_erm():
    of_one = lambda seed: small_batch(seed) | {"domain": jnp.zeros(12, jnp.int32)}  # noqa: E731
    dro, erm = (small_method(name)._replace(num_domains=1) for name in ("group_dro", "erm"))
    (*_, after), metrics = trained(dro, batches=of_one)
    (*_, expected), expected_metrics = trained(erm, batches=of_one)
    np.testing.assert_array_equal(after.carried["domain_weights"], [1.0])
    assert [step.pop("worst_domain_weight") for step in metrics] == [1.0, 1.0, 1.0]
    chex.assert_trees_all_close(metrics, expected_metrics, rtol=1e-5)
    chex.assert_trees_all_close(after.params, expected.params, rtol=1e-4, atol=1e-5)


def test_haics_with_the_learned_mask_is_the_alignment_term():
    """ALIGN with nothing but L_cls and L_egl, and HAICS, both guided by one masker: the same program."""
    nothing_else = {"align.classifier.regularisation": 0.0}
    masker = masker_from_linen(SmallMasker())
    masker_state = create_masker_state(masker, optax.sgd(0.1), jax.random.key(1), jnp.zeros((1, SIZE, SIZE, 3)))
    masks = learned_masks(masker, masker_state)
    align, haics = small_method("align", nothing_else), small_method("haics")
    (*_, after), metrics = trained(align, masks=masks)
    (*_, expected), expected_metrics = trained(haics, masks=masks)
    chex.assert_trees_all_equal(after, expected)
    assert [m["egl"] for m in metrics] == [m["attention"] for m in expected_metrics]
    assert haics.objective.terms["attention"].loss is losses.alignment


@pytest.mark.parametrize("name", WEIGHTED)
def test_a_term_without_weight_is_not_in_the_program(name):
    method = small_method(name, {f"{name}.weight": 0.0})
    assert program(method) == program(default_method("erm"))
    assert program(default_method(name)) != program(default_method("erm"))


@pytest.mark.parametrize("name", [name for name, algorithm in ALGORITHMS.items() if algorithm.guided_terms])
def test_without_its_guided_terms_no_mask_is_read(name):
    method = default_method(name)
    terms = ALGORITHMS[name].guided_terms
    assert set(terms) < set(method.objective.terms)
    unguided = method._replace(objective=method.objective.without(*terms))
    # Without its guided terms, background_swap has none: its warm-up has an objective of its own.
    if name == "background_swap":
        assert not any(weight for _, weight in unguided.objective.terms.values())
        unguided = method._replace(objective=background_swap.warmup_objective(default_config()))
    other = "dre" if name == "align" else "erm"
    assert program(unguided, None) == program(default_method(other), None)


# ---- what is carried -------------------------------------------------------------------------------------------------


def moments(state):
    """Adam's first moment, wherever it lies."""
    found = [s for s in jax.tree.leaves(state.optimizer_state, is_leaf=lambda s: hasattr(s, "mu")) if hasattr(s, "mu")]
    return found[0]


@pytest.mark.parametrize(("name", "jumping", "after"), [("irm", "penalty", 100), ("vrex", "variance", 10)])
def test_a_weight_jumps_and_the_moments_are_forgotten_there(name, jumping, after):
    schedule = learning_rate("cosine", 1e-2, 8)
    method = small_method(name, {f"{name}.switch_step": 2}, learning_rate=schedule)
    visited, metrics = trained(method, steps=4)
    for step, weight in enumerate((1, 1, after, after)):
        expected = metrics[step]["cls"] + weight * metrics[step][jumping]
        np.testing.assert_allclose(metrics[step]["loss"], expected, rtol=1e-5)
    assert [int(moments(state).count) for state in visited] == [0, 1, 2, 1, 2]

    # From the switch on, a fresh optimiser from those parameters; only the learning rate goes on where it was.
    plain = method._replace(optimizer=optimizer("adam", lambda step: schedule(step + 2), 0.0))
    state = visited[2].replace(optimizer_state=plain.optimizer.init(visited[2].params))
    step = jax.jit(lambda state, batch: classifier_step(plain, state, batch, KEY)[0])
    for number in (2, 3):
        state = step(state, small_batch(number))
        chex.assert_trees_all_close(state.params, visited[number + 1].params, rtol=1e-5, atol=1e-6)


@pytest.mark.parametrize("name", OPTIMIZERS)
def test_a_restarted_optimizer_equals_a_fresh_one_from_there_on(name):
    schedule = learning_rate("cosine", 0.1, 10)
    params = {"a": jnp.arange(3.0), "b": jnp.ones(())}

    def descend(chosen, params, steps, state=None):
        state, visited = chosen.init(params) if state is None else state, []
        for number in steps:
            gradient = jax.tree.map(lambda p, n=number: jnp.sin(p + n), params)
            changes, state = chosen.update(gradient, state, params)
            params = optax.apply_updates(params, changes)
            visited.append(params)
        return visited

    restarted = descend(optimizer(name, schedule, 0.1, restart=3), params, range(6))
    never = descend(optimizer(name, schedule, 0.1), params, range(6))
    fresh = descend(optimizer(name, lambda step: schedule(step + 3), 0.1), restarted[2], range(3, 6))
    chex.assert_trees_all_equal(restarted[:3], never[:3])
    chex.assert_trees_all_close(restarted[3:], fresh, rtol=1e-6)
    assert not np.allclose(restarted[3]["a"], never[3]["a"], atol=1e-4)


# Of GroupDRO over domains and over groups: the field of a batch, the carried weights, and the watched one.
OVER = {
    "domain": ("domain", "domain_weights", "worst_domain_weight"),
    "group": ("class_group", "group_weights", "worst_group_weight"),
}


def domain_losses(update, state, batch, field="domain"):
    features, _ = update.network.features(state.params, state.batch_stats, batch["image"], True, KEY)
    values = np.asarray(losses.cross_entropy(update.network.head(state.params, features), batch["label"]), np.float64)
    domain = np.asarray(batch[field])
    return np.array([values[domain == d].mean() if (domain == d).any() else 0.0 for d in range(3)])


@pytest.mark.parametrize("over", OVER)
@pytest.mark.parametrize("domains", [[0, 1, 2], [0, 2]], ids=["all there", "one absent"])
def test_the_weights_of_domains_move_as_defined(domains, over):
    """`q_d *= exp(2 L_d)`, normalised, before the loss `sum_d q_d L_d` reads it; an absent domain keeps its share."""
    field, carried, watched = OVER[over]
    batches = lambda seed: small_batch(seed) | {field: jnp.tile(jnp.array(domains), 12)[:12]}  # noqa: E731
    dro = small_method("group_dro", {"group_dro.step_size": 2.0, "group_dro.over": over})
    dro = dro if over == "domain" else dro._replace(num_domains=1, num_groups=3)
    visited, metrics = trained(dro, batches=batches)
    q = np.full(3, 1 / 3)
    assert list(visited[0].carried) == [carried]
    np.testing.assert_allclose(visited[0].carried[carried], q)
    for number in range(3):
        loss = domain_losses(dro, visited[number], batches(number), field)
        q = q * np.exp(2.0 * loss)
        q /= q.sum()
        np.testing.assert_allclose(visited[number + 1].carried[carried], q, rtol=1e-5)
        expected = (q * loss).sum() / q[domains].sum()
        np.testing.assert_allclose(metrics[number]["loss"], expected, rtol=1e-5)
        np.testing.assert_allclose(metrics[number][watched], q.max(), rtol=1e-5)
    assert np.abs(q - 1 / 3).max() > 0.01


def test_the_gradient_of_group_dro_takes_the_weights_as_constants():
    dro = small_method("group_dro", {"group_dro.step_size": 5.0}, optimizer_name="sgd", learning_rate=lambda step: 1.0)
    (before, after), _ = trained(dro, steps=1)
    q = after.carried["domain_weights"]

    def loss(params):
        features, _ = dro.network.features(params, before.batch_stats, small_batch()["image"], True, KEY)
        values = losses.cross_entropy(dro.network.head(params, features), small_batch()["label"])
        return (q[0] * values[0::2].mean() + q[1] * values[1::2].mean()) / q[:2].sum()

    expected = jax.tree.map(lambda p, g: p - g, before.params, jax.jit(jax.grad(loss))(before.params))
    chex.assert_trees_all_close(after.params, expected, rtol=1e-4, atol=1e-5)


@pytest.mark.parametrize(("name", "over"), [("group_dro", "domain"), ("group_dro", "group"), ("irm", "domain")])
def test_what_is_carried_survives_a_stop(tmp_path, monkeypatch, name, over):
    """Stopped after an odd step and resumed, a run ends bit-identical to one that was never stopped."""
    config = get_config()
    config.algorithm, config.group_dro.step_size, config.irm.switch_step = name, 0.5, 2
    config.group_dro.over = over
    config.schedule.length = config.evaluation.every = config.checkpoint_every = 6
    config.explain.images = 1
    train_and_evaluate(config, tmp_path / "whole")

    advance, steps = Progress.advance, []

    def stopping(self, count):
        steps.append(count)
        if sum(steps) == 3:
            signal.raise_signal(signal.SIGTERM)
        return advance(self, count)

    monkeypatch.setattr(Progress, "advance", stopping)
    with pytest.raises(Interrupted, match="after step 3 of 6"):
        train_and_evaluate(config, tmp_path / "stopped")
    train_and_evaluate(config, tmp_path / "stopped")
    assert sum(steps) == 6
    whole, resumed = (states(tmp_path / run, 6) for run in ("whole", "stopped"))
    jax.tree.map(np.testing.assert_array_equal, resumed, whole)
    if name == "group_dro":
        q = whole[0]["carried"][OVER[over][1]]
        # Two training domains; or three classes, left and right.
        assert q.shape == ((2,) if over == "domain" else (6,))
        assert np.abs(q - 1 / len(q)).max() > 1e-4


# ---- edge cases ------------------------------------------------------------------------------------------------------

THREE = {name: value[:3] for name, value in small_batch().items()}  # one example a class
EDGE_CASES = {
    "one sample a class, a domain absent, one sample of a domain": {"domain": [0, 0, 2]},
    "one domain": {"domain": [1, 1, 1]},
    "one class": {"label": [2, 2, 2]},
    "one sample of every domain": {"domain": [2, 1, 0]},
    "constant images": {"image": 0.0},
    "bright constant images": {"image": 2.6},
    "empty masks": {"mask": 0.0},
    "full masks": {"mask": 1.0},
}


@pytest.mark.parametrize("name", ALGORITHMS)
def test_edge_cases_are_finite_and_one_program_serves_them(name):
    """Values, gradients and the parameters of the next step; compiled once, however the domains fall."""
    chex.clear_trace_counter()

    @jax.jit
    @chex.assert_max_traces(n=1)
    def step(state, batch):
        return classifier_step(default_method(name), state, batch, KEY, given)

    start = small_state(default_method(name))
    # A head of zeros has zero maps; a second step starts from what the first one made of them.
    zeros = start.replace(params=start.params | {"linear": jax.tree.map(jnp.zeros_like, start.params["linear"])})
    for case, changes in EDGE_CASES.items():
        batch = THREE | {
            field: jnp.broadcast_to(jnp.asarray(value, THREE[field].dtype), THREE[field].shape)
            for field, value in changes.items()
        }
        for state in (start, zeros):
            for _ in range(2):
                state, metrics = step(state, batch)
                for leaf in jax.tree.leaves((state.params, state.batch_stats, state.carried, metrics)):
                    assert np.isfinite(leaf).all(), case
