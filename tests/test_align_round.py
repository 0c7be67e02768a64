"""Every term of an ALIGN round, value and gradient, against a PyTorch float64 program (tests/oracle).

The terms are read off the forward passes that training uses, on a ResNet-18, and differentiated
in the six parameters that the oracle recorded.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses
from align_jax.forward import ClassifierForward, Explanation, MaskerForward
from align_jax.models.resnet import resnet
from align_jax.networks import Masker, classifier_from_linen
from tests.oracle.torchvision_weights import linen_variables, state_dict

ORACLE = dict(np.load(pathlib.Path(__file__).parent / "oracle" / "align_round.npz"))
CLASSES = 5
# torchvision's name, and where it lies in ours (kernels are transposed: only norms of gradients are compared for them)
PARAMETERS = {
    "conv1.weight": ("conv1", "kernel"),
    "layer2.0.downsample.0.weight": ("layer2_0", "downsample_conv", "kernel"),
    "layer4.1.conv2.weight": ("layer4_1", "conv2", "kernel"),
    "layer4.1.bn2.weight": ("layer4_1", "bn2", "scale"),
    "fc.weight": ("fc", "kernel"),
    "fc.bias": ("fc", "bias"),
}
BATCH = {name: ORACLE[name] for name in ("image", "label", "mask", "domain")}

CLASSIFIER_TERMS = {
    "alignment_bce": losses.alignment,
    "alignment_bce_upsampled": losses.alignment_at_image_resolution,
    "dre_consistency": losses.consistency,
    "dre_sparsity_l1": losses.saliency_sparsity,
    "dre_sparsity_as_coded": losses.saliency_sparsity_as_published,
    "cross_entropy": losses.cross_entropy,
    "dre_mixed_cross_entropy": losses.mixed_cross_entropy,
}


def get(tree, path):
    return functools.reduce(lambda node, name: node[name], path, tree)


def replaced(tree, path, value):
    return value if not path else tree | {path[0]: replaced(tree[path[0]], path[1:], value)}


@functools.cache
def classifier_terms(alpha, normalise, train):
    """{term: value}, {term: {parameter: gradient}} and the BatchNorm statistics after the pass, in one program."""
    network = classifier_from_linen(resnet("resnet18", CLASSES, freeze_batch_norm=not train))
    variables = linen_variables(state_dict(18, CLASSES, seed=0))

    def terms(chosen, variables, batch):
        params = variables["params"]
        for name, path in PARAMETERS.items():
            params = replaced(params, path, chosen[name])
        forward = ClassifierForward(
            network, params, variables["batch_stats"], batch, jax.random.key(0), lambda batch: batch["mask"],
            Explanation(alpha, normalise),
        )  # fmt: skip
        # The oracle's own draw in place of ours: a cached property that is set is not computed.
        vars(forward).update(partner=jnp.asarray(ORACLE["partner"]), mixing=jnp.asarray(ORACLE["lam"]))
        quantities = {name: getattr(forward, name) for name in forward.names()}
        values = jnp.stack(
            [
                term(**{name: quantities[name] for name in term.__annotations__ if name != "return"}).mean()
                for term in CLASSIFIER_TERMS.values()
            ]
        )
        return values, (values, forward.new_batch_stats)

    chosen = {name: jnp.asarray(get(variables["params"], path)) for name, path in PARAMETERS.items()}
    gradients, (values, batch_stats) = jax.jit(jax.jacrev(terms, has_aux=True))(
        chosen, jax.tree.map(jnp.asarray, variables), BATCH
    )
    names = list(CLASSIFIER_TERMS)
    return (
        dict(zip(names, np.asarray(values), strict=True)),
        {term: {name: np.asarray(gradients[name][i]) for name in PARAMETERS} for i, term in enumerate(names)},
        jax.device_get(batch_stats),
    )


def check_value_and_gradient(tag, value, gradient):
    np.testing.assert_allclose(value, ORACLE[tag], rtol=1e-4)
    for name in PARAMETERS:
        expected = ORACLE[f"{tag}/grad_norm/{name}"]
        np.testing.assert_allclose(np.linalg.norm(gradient[name]), expected, rtol=3e-3, atol=1e-6, err_msg=name)
    for name in ("fc.bias", "layer4.1.bn2.weight"):
        expected = ORACLE[f"{tag}/grad/{name}"]
        scale = max(np.abs(expected).max(), 1e-6)
        np.testing.assert_allclose(gradient[name] / scale, expected / scale, atol=3e-3, err_msg=name)


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
    values, gradients, _ = classifier_terms(alpha, normalise, False)
    check_value_and_gradient(f"classifier/alpha_{alpha}/{entry}", values[term], gradients[term])


@pytest.mark.parametrize("term", ["cross_entropy", "dre_mixed_cross_entropy"])
def test_terms_on_logits(term):
    values, gradients, _ = classifier_terms("differentiated", "minmax", False)
    check_value_and_gradient(f"classifier/{term}", values[term], gradients[term])


@pytest.mark.parametrize(
    ("term", "entry"), [("cross_entropy", "cross_entropy"), ("alignment_bce", "alignment_bce/minmax")]
)
def test_with_batch_statistics(term, entry):
    values, gradients, _ = classifier_terms("differentiated", "minmax", True)
    check_value_and_gradient(f"train_mode/{entry}", values[term], gradients[term])


def test_the_mixed_pass_leaves_no_trace_in_the_statistics():
    """The oracle's running statistics are those of the clean pass alone, though the mixed one ran here too."""
    _, _, batch_stats = classifier_terms("differentiated", "minmax", True)
    for name, path, values in (("bn1", ("bn1",), 12 * 48 * 48), ("layer4.1.bn2", ("layer4_1", "bn2"), 12 * 3 * 3)):
        actual = get(batch_stats, path)
        np.testing.assert_allclose(actual["mean"], ORACLE[f"train_mode/{name}.running_mean"], rtol=1e-3, atol=1e-4)
        # PyTorch stores the unbiased variance, Flax the biased one: 0.9 old + 0.1 new, new off by n / (n - 1).
        old = get(linen_variables(state_dict(18, CLASSES, seed=0))["batch_stats"], path)["var"]
        unbiased = 0.9 * old + (actual["var"] - 0.9 * old) * values / (values - 1)
        np.testing.assert_allclose(unbiased, ORACLE[f"train_mode/{name}.running_var"], rtol=1e-3)


@functools.cache
def masker_terms():
    """{term: value} and {term: gradient in the mask}, and both probabilities, in one program."""
    network = classifier_from_linen(resnet("resnet18", CLASSES))
    variables = linen_variables(state_dict(18, CLASSES, seed=0))
    # A masker whose parameters are the mask itself.
    masker = Masker(lambda key, image: ({}, {}), lambda params, batch_stats, image, train: (params, {}))

    def terms(mask, variables, batch):
        logits = lambda image: network.logits(variables["params"], variables["batch_stats"], image)  # noqa: E731
        forward = MaskerForward(masker, mask, {}, batch, logits, jnp.zeros_like)
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
