"""Every baseline's loss, value and gradient: against PyTorch in float64, or its definition written out in NumPy."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.algorithms import coral, dre, gradia, group_dro, haics, irm, mixup, rrr, sgt, vrex
from align_jax.forward import ClassifierForward, SaliencySettings
from align_jax.models.convolution import form_of
from align_jax.objectives import weighted
from tests.oracle.align_round import BATCH, DOMAINS, ORACLE, check_value_and_gradient, evaluated, network_and_variables
from tests.small_networks import CLASSES, SIZE, small_batch

# The entry of the oracle, and the term as its method's objective has it.
ENTRIES = {
    "baselines/vrex_variance": vrex.classifier_objective().terms["variance"],
    "baselines/irm_penalty": irm.classifier_objective().terms["penalty"],
    "baselines/groupdro": group_dro.classifier_objective().terms["cls"],
    "baselines/coral": coral.classifier_objective().terms["distance"],
    "baselines/sgt_kl": sgt.classifier_objective(replacement="mean").terms["divergence"],
    "baselines/rrr": rrr.classifier_objective().terms["reasons"],
    "baselines/gradia_l1": gradia.classifier_objective().terms["attention"],
    # HAICS has no entry of its own: it is the alignment with a given mask.
    "classifier/alpha_differentiated/alignment_bce/minmax": haics.classifier_objective().terms["attention"],
}


def without_winograd(*product):
    return "native" if (form := form_of(*product)) == "winograd" else form


@functools.cache
def baselines():
    with pytest.MonkeyPatch.context() as patch:
        # In one image two values that a max-pool compares are as good as equal (see test_input_gradient). With the
        # rounding of Winograd's form its gradient takes the other, and SGT removes other pixels.
        patch.setattr("align_jax.models.convolution.form_of", without_winograd)
        return evaluated(weighted(carried=group_dro.classifier_objective().carried, **ENTRIES))


@pytest.mark.parametrize("entry", ENTRIES)
def test_terms(entry):
    values, gradients, *_ = baselines()
    check_value_and_gradient(entry, values[entry], gradients[entry])


def test_weights_of_the_domains():
    np.testing.assert_allclose(baselines()[3]["domain_weights"], ORACLE["baselines/groupdro_q"], rtol=1e-6)


def test_input_gradient():
    network, variables = network_and_variables()
    predict = lambda image: network.logits(variables["params"], variables["batch_stats"], image)  # noqa: E731
    gradient = jax.jit(lambda image, label: sgt.label_gradient(predict, image, label).mean(-1))(
        BATCH["image"], jnp.asarray(BATCH["label"])
    )
    expected = ORACLE["baselines/sgt_input_gradient"]
    off = np.abs(gradient - expected).max((1, 2)) / np.abs(expected).max()
    # In one image two values that a max-pool compares differ by less than float32 tells: the gradient takes the other.
    assert np.sort(off)[-2] < 1e-5
    assert off.max() < 1e-2


# ---- what has no entry -----------------------------------------------------------------------------------------------


def linear(image):
    """A classifier without anything learned: three fixed sums of pixels."""
    weights = jax.random.normal(jax.random.key(9), (*image.shape[1:], CLASSES)) / SIZE
    return jnp.einsum("bhwc,hwck->bk", image, weights)


def log_softmax(logits):
    logits = np.asarray(logits, np.float64)
    return logits - np.log(np.exp(logits).sum(-1, keepdims=True))


def cross_entropy(logits, label):
    return -log_softmax(logits)[np.arange(len(label)), label]


def test_the_robust_risk_over_groups():
    """`sum_g q_g L_g / sum_g q_g` over the groups that are there, and its gradient; the fourth group is absent."""
    random = np.random.default_rng(0)
    logits, label = random.normal(size=(12, CLASSES)), np.arange(12) % CLASSES
    group, q = np.array([0, 0, 0, 0, 0, 0, 1, 1, 1, 4, 2, 1]), np.array([0.1, 0.3, 0.2, 0.25, 0.15])
    risk = jax.jit(jax.value_and_grad(group_dro.classifier_objective(over="group").terms["cls"].loss))
    value, gradient = risk(
        jnp.float32(logits), label, jnp.asarray(group[None] == np.arange(5)[:, None]), jnp.float32(q)
    )
    there = q[np.unique(group)].sum()
    share = q[group] / np.bincount(group)[group] / there
    np.testing.assert_allclose(value, (share * cross_entropy(logits, label)).sum(), rtol=1e-5)
    expected = share[:, None] * (np.exp(log_softmax(logits)) - np.eye(CLASSES)[label])
    np.testing.assert_allclose(gradient, expected, rtol=1e-4, atol=1e-6)


@pytest.mark.parametrize("domains", [[0, 1] * 6, [0, 1, 2] * 4, [2, 0, 2, 1, 2, 2, 0, 0, 1, 2, 2, 2], [0, 2] * 6])
def test_partners_are_of_the_next_domain_of_one_cycle(domains):
    domains = np.array(domains)
    membership = jnp.asarray(domains[None] == np.arange(DOMAINS)[:, None])
    present = np.unique(domains)
    cycles = set()
    for seed in range(12):
        partner = np.asarray(jax.jit(mixup.next_domain_partner)(jax.random.key(seed), membership))
        following = {d: np.unique(domains[partner[domains == d]]) for d in present}
        assert all(len(f) == 1 for f in following.values()), "a domain has two partners"
        following = {int(d): int(f[0]) for d, f in following.items()}
        reached, domain = [], int(present[0])
        for _ in present:
            reached.append(domain)
            domain = following[domain]
        assert sorted(reached) == list(present), "no cycle through all domains that are there"
        assert domain == present[0]
        cycles.add(tuple(reached))
        for d in present:
            members, others = np.flatnonzero(domains == d), np.flatnonzero(domains == following[int(d)])
            np.testing.assert_array_equal(partner[members], [others[i % len(others)] for i in range(len(members))])
    assert len(cycles) == (2 if len(present) == 3 else 1), "the cycle is drawn"


def test_mixup_between_domains():
    """`lambda CE(f(x~), y_i) + (1 - lambda) CE(f(x~), y_j)`, one lambda for each pair of domains."""
    batch = {name: np.asarray(value) for name, value in small_batch().items()}
    domain = np.arange(12) % DOMAINS
    membership = jnp.asarray(domain[None] == np.arange(DOMAINS)[:, None])
    key = jax.random.key(3)
    loss = mixup.classifier_objective(concentration=0.5).terms["cls"].loss
    # Labels that go with neither place nor domain: those of a pair differ.
    label = np.array([0, 2, 1, 1, 0, 2, 2, 1, 0, 0, 1, 1])
    mixed = []

    def classify(image):
        mixed.append(image)
        return linear(image)

    actual, image = jax.jit(lambda *arguments: (loss(*arguments, classify, key), mixed.pop()))(
        jnp.asarray(batch["image"]), jnp.asarray(label), membership
    )
    seen = np.asarray(image, np.float64)

    cycle_key, _ = jax.random.split(key)
    partner = np.asarray(mixup.next_domain_partner(cycle_key, membership))
    # lambda, from x~ = x_j + lambda (x_i - x_j)
    image = batch["image"].astype(np.float64)
    difference = image - image[partner]
    share = ((seen - image[partner]) * difference).sum((1, 2, 3)) / (difference**2).sum((1, 2, 3))
    np.testing.assert_allclose(
        seen, share[:, None, None, None] * difference + image[partner], atol=1e-5, err_msg="no mixture"
    )
    for d in range(DOMAINS):
        np.testing.assert_allclose(share[domain == d], share[domain == d][0], atol=1e-5)
    assert len(np.unique(share.round(4))) == DOMAINS
    logits = linear(jnp.asarray(seen, jnp.float32))
    expected = share * cross_entropy(logits, label) + (1 - share) * cross_entropy(logits, label[partner])
    np.testing.assert_allclose(actual, expected, rtol=1e-4)


def test_shares_are_drawn_from_the_beta_distribution():
    """Beta(c, c): mean 1/2, variance 1 / (4 (2 c + 1))."""
    concentration = 0.4
    image = jnp.stack([jnp.zeros((1, 1, 3)), jnp.ones((1, 1, 3))])  # x~ of the first is 1 - lambda
    loss = mixup.classifier_objective(concentration=concentration).terms["cls"].loss

    def share(key):
        seen = []
        loss(image, jnp.zeros(2, jnp.int32), jnp.eye(2, dtype=bool), lambda x: seen.append(x) or x[:, 0, 0], key)
        return 1 - seen[0][0, 0, 0, 0]

    shares = np.asarray(jax.jit(jax.vmap(share))(jax.random.split(jax.random.key(0), 4000)))
    assert abs(shares.mean() - 0.5) < 0.03
    np.testing.assert_allclose(shares.var(), 1 / (4 * (2 * concentration + 1)), rtol=0.1)


@pytest.mark.parametrize("fraction", [0.1, 0.5])
def test_saliency_guided_training_with_noise(fraction):
    """The pixels of lowest gradient, as many as the fraction says, become noise within the channel's range."""
    batch = {name: np.asarray(value) for name, value in small_batch().items()}
    image, label = jnp.asarray(batch["image"]), jnp.asarray(batch["label"])
    loss = sgt.classifier_objective(fraction=fraction, replacement="noise").terms["divergence"].loss
    seen = []

    def classify(changed):
        seen.append(np.asarray(changed))
        return linear(changed)

    keys = jax.random.split(jax.random.key(1))
    values = [loss(image, label, linear(image), linear, classify, key) for key in keys]
    # Of a linear classifier the gradient of a class is its weights, whatever the image.
    weights = np.stack([np.asarray(jax.grad(lambda x, k=k: linear(x)[0, k])(image[:1]))[0] for k in range(CLASSES)])
    gradient = weights.mean(-1)[batch["label"]].reshape(12, -1)
    lowest = np.argsort(gradient, axis=1, kind="stable")[:, : int(fraction * SIZE * SIZE)]
    expected = np.zeros((12, SIZE * SIZE), bool)
    np.put_along_axis(expected, lowest, True, axis=1)
    for changed, value in zip(seen, values, strict=True):
        different = (changed != batch["image"]).all(-1)
        np.testing.assert_array_equal(different.reshape(12, -1), expected)
        noise = changed.reshape(12, -1, 3)
        low, high = batch["image"].min((1, 2))[:, None], batch["image"].max((1, 2))[:, None]
        assert ((noise >= low) & (noise <= high)).all()
        # Uniform over the whole range, not only inside of it.
        position = ((noise - low) / (high - low))[expected]
        np.testing.assert_allclose([position.mean(), position.var()], [1 / 2, 1 / 12], atol=0.03)
        before, after = log_softmax(linear(image)), log_softmax(linear(jnp.asarray(changed)))
        np.testing.assert_allclose(value, (np.exp(before) * (before - after)).sum(-1), rtol=2e-4, atol=1e-6)
    assert not np.array_equal(*seen)


def test_dre_as_published_averages_within_classes():
    """Every term is summed over the classes present and divided by the number of classes; sparsity is its own."""
    objective = dre.classifier_objective(as_published=True)
    random = np.random.default_rng(0)
    label = np.array([0, 0, 0, 0, 2, 2, 0])  # class 1 is not there
    logits = random.normal(size=(7, CLASSES)).astype(np.float32)
    mixed_logits = random.normal(size=(7, CLASSES)).astype(np.float32)
    saliency, mixed_saliency, partner_saliency = random.uniform(size=(3, 7, 4, 4)).astype(np.float32)
    mixing = random.uniform(size=7).astype(np.float32)
    network, _ = network_and_variables()
    forward = ClassifierForward(
        network, {}, {}, {"label": jnp.asarray(label)}, jax.random.key(0), None, SaliencySettings()
    )
    quantities = {
        "logits": logits, "mixed_logits": mixed_logits, "saliency": saliency, "mixed_saliency": mixed_saliency,
        "partner_saliency": partner_saliency, "mixing": mixing,
    }  # fmt: skip
    vars(forward).update({name: jnp.asarray(value) for name, value in quantities.items()})
    loss, metrics, _ = objective(forward, jnp.int32(0))

    def over_classes(values):
        return sum(values[label == k].mean() for k in range(CLASSES) if (label == k).any()) / CLASSES

    share = mixing[:, None, None]
    expected = {
        "cls": over_classes(cross_entropy(logits, label)),
        "consistency": over_classes(
            np.abs(mixed_saliency - share * saliency - (1 - share) * partner_saliency).mean((1, 2))
        ),
        "sparsity": over_classes(0.5 * (saliency.max(1).mean(1) + mixed_saliency.max(1).mean(1))),
        "mixed_cls": over_classes(cross_entropy(mixed_logits, label)),
    }
    assert set(metrics) == {*expected, "loss"}
    for name, value in expected.items():
        np.testing.assert_allclose(metrics[name].value(), value, rtol=1e-5, err_msg=name)
    total = expected["cls"] + expected["consistency"] + 0.5 * expected["sparsity"] + 0.1 * expected["mixed_cls"]
    np.testing.assert_allclose(loss, total, rtol=1e-5)
