"""The quantities in align_round.npz, and the same quantities as training computes them.

Terms are read off the forward pass that training uses, on a ResNet-18, by an `Objective` as training calls it, and
differentiated in the six parameters that the oracle recorded. The file was made by a PyTorch float64 program.
"""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np

from align_jax.forward import ClassifierForward, SaliencySettings
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen
from align_jax.objectives import Sizes
from tests.oracle.torchvision_weights import linen_variables, state_dict

ORACLE = dict(np.load(pathlib.Path(__file__).parent / "align_round.npz"))
CLASSES = 5
DOMAINS = 3
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


def get(tree, path):
    return functools.reduce(lambda node, name: node[name], path, tree)


def replaced(tree, path, value):
    return value if not path else tree | {path[0]: replaced(tree[path[0]], path[1:], value)}


def network_and_variables(train=False):
    """The oracle's ResNet-18; without `train` it normalises with stored statistics whatever it is told."""
    network = classifier_from_linen(resnet("resnet18", CLASSES, freeze_batch_norm=not train))
    return network, linen_variables(state_dict(18, CLASSES, seed=0))


def evaluated(objective, saliency_settings=None, train=False):
    """{term: value}, {term: {parameter: gradient}}, the statistics after the pass, the carried state; one program."""
    network, variables = network_and_variables(train)

    def terms(chosen, variables, batch):
        params = variables["params"]
        for name, path in PARAMETERS.items():
            params = replaced(params, path, chosen[name])
        forward = ClassifierForward(
            network, params, variables["batch_stats"], batch, jax.random.key(0), lambda batch: batch["mask"],
            saliency_settings or SaliencySettings(), DOMAINS,
        )  # fmt: skip
        # The oracle's own draw in place of ours: a cached property that is set is not computed.
        vars(forward).update(partner=jnp.asarray(ORACLE["partner"]), mixing=jnp.asarray(ORACLE["lam"]))
        _, metrics, carried = objective(forward, jnp.int32(0), objective.initial_carried(Sizes(DOMAINS, CLASSES)))
        values = jnp.stack([metrics[name].value() for name in objective.terms])
        return values, (values, forward.new_batch_stats, carried)

    chosen = {name: jnp.asarray(get(variables["params"], path)) for name, path in PARAMETERS.items()}
    gradients, (values, batch_stats, carried) = jax.jit(jax.jacrev(terms, has_aux=True))(
        chosen, jax.tree.map(jnp.asarray, variables), BATCH
    )
    return (
        dict(zip(objective.terms, np.asarray(values), strict=True)),
        {t: {name: np.asarray(gradients[name][i]) for name in PARAMETERS} for i, t in enumerate(objective.terms)},
        jax.device_get(batch_stats),
        jax.device_get(carried),
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
