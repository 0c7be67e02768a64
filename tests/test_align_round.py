"""Every term of an ALIGN round, value and gradient, against a PyTorch float64 program (tests/oracle)."""

import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses
from align_jax.forward import MaskerForward, SaliencySettings
from align_jax.networks import Masker
from align_jax.objectives import term, weighted
from tests.oracle.align_round import BATCH, ORACLE, check_value_and_gradient, evaluated, get, network_and_variables

CLASSIFIER_TERMS = weighted(
    alignment_bce=term(losses.alignment),
    alignment_bce_upsampled=term(losses.alignment_at_image_resolution),
    dre_consistency=term(losses.consistency),
    dre_sparsity_l1=term(losses.saliency_sparsity),
    dre_sparsity_as_coded=term(losses.saliency_sparsity_as_published),
    cross_entropy=term(losses.cross_entropy),
    dre_mixed_cross_entropy=term(losses.mixed_cross_entropy),
)


@functools.cache
def classifier_terms(alpha, normalise, train):
    return evaluated(CLASSIFIER_TERMS, SaliencySettings(alpha, normalise), train)


@pytest.mark.parametrize("alpha", ["differentiated", "constant"])
@pytest.mark.parametrize(
    ("normalise", "term", "entry"),
    [
        ("minmax", "alignment_bce", "alignment_bce/minmax"),
        ("max", "alignment_bce", "alignment_bce/max"),
        ("max", "alignment_bce_upsampled", "alignment_bce/max_upsampled"),
        ("minmax", "dre_consistency", "dre_consistency"),
        ("minmax", "dre_sparsity_l1", "dre_sparsity_l1"),
        ("minmax", "dre_sparsity_as_coded", "dre_sparsity_as_coded"),
    ],
)
def test_terms_on_saliency(alpha, normalise, term, entry):
    values, gradients, *_ = classifier_terms(alpha, normalise, False)
    check_value_and_gradient(f"classifier/alpha_{alpha}/{entry}", values[term], gradients[term])


@pytest.mark.parametrize("term", ["cross_entropy", "dre_mixed_cross_entropy"])
def test_terms_on_logits(term):
    values, gradients, *_ = classifier_terms("differentiated", "minmax", False)
    check_value_and_gradient(f"classifier/{term}", values[term], gradients[term])


@pytest.mark.parametrize(
    ("term", "entry"), [("cross_entropy", "cross_entropy"), ("alignment_bce", "alignment_bce/minmax")]
)
def test_with_batch_statistics(term, entry):
    values, gradients, *_ = classifier_terms("differentiated", "minmax", True)
    check_value_and_gradient(f"train_mode/{entry}", values[term], gradients[term])


def test_the_mixed_pass_leaves_no_trace_in_the_statistics():
    """The oracle's running statistics are those of the clean pass alone, though the mixed one ran here too."""
    _, _, batch_stats, _ = classifier_terms("differentiated", "minmax", True)
    for name, path, values in (("bn1", ("bn1",), 12 * 48 * 48), ("layer4.1.bn2", ("layer4_1", "bn2"), 12 * 3 * 3)):
        actual = get(batch_stats, path)
        np.testing.assert_allclose(actual["mean"], ORACLE[f"train_mode/{name}.running_mean"], rtol=1e-3, atol=1e-4)
        # PyTorch stores the unbiased variance, Flax the biased one: 0.9 old + 0.1 new, new off by n / (n - 1).
        old = get(network_and_variables()[1]["batch_stats"], path)["var"]
        unbiased = 0.9 * old + (actual["var"] - 0.9 * old) * values / (values - 1)
        np.testing.assert_allclose(unbiased, ORACLE[f"train_mode/{name}.running_var"], rtol=1e-3)


@functools.cache
def masker_terms():
    """{term: value} and {term: gradient in the mask}, and both probabilities, in one program."""
    network, variables = network_and_variables()
    # A masker whose parameters are the mask itself.
    masker = Masker(lambda key, image: ({}, {}), lambda params, batch_stats, image, train, key: (params, {}))

    def terms(mask, variables, batch):
        logits = lambda image: network.logits(variables["params"], variables["batch_stats"], image)  # noqa: E731
        forward = MaskerForward(masker, mask, {}, batch, jax.random.key(0), logits, jnp.zeros_like)
        values = {
            "distinction": losses.distinction(forward.probability_kept, forward.probability_removed).mean(),
            "sparsity": losses.sparsity(forward.mask).mean(),
            "smoothness": losses.smoothness(forward.mask).mean(),
        }
        return values, (values, {"p_keep": forward.probability_kept, "p_drop": forward.probability_removed})

    run = jax.jit(jax.jacrev(terms, has_aux=True))
    return jax.device_get(run(BATCH["mask"], jax.tree.map(jnp.asarray, variables), BATCH))


def test_both_masked_probabilities():
    for name, probability in masker_terms()[1][1].items():
        np.testing.assert_allclose(probability, ORACLE[f"masker/{name}"], rtol=1e-3, atol=1e-5)


@pytest.mark.parametrize("term", ["distinction", "sparsity", "smoothness"])
def test_terms_of_the_masker(term):
    gradients, (values, _) = masker_terms()
    np.testing.assert_allclose(values[term], ORACLE[f"masker/{term}"], rtol=2e-4)
    expected = ORACLE[f"masker/{term}/grad_mask"]
    scale = np.abs(expected).max()
    np.testing.assert_allclose(gradients[term] / scale, expected / scale, atol=2e-3)
