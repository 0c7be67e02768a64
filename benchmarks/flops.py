"""The cost of a round in ERM steps, by XLA's count of floating-point operations: ResNet-50, 224 pixels.

    python benchmarks/flops.py

Nothing is compiled or run: XLA counts the operations of the program lowered for a TPU, so the machine does not matter.
"""

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax
import jax.numpy as jnp
import optax

from align_jax import algorithms
from align_jax.fills import FILLS
from align_jax.forward import SaliencySettings
from align_jax.models.masker import Masker
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen, masker_from_linen
from align_jax.states import create_classifier_state, create_masker_state
from align_jax.steps import ClassifierUpdate, MaskerUpdate, align_round, classifier_step, masker_step

KEY = jax.random.key(0)


def flops(name: str = "resnet50", size: int = 224, batch_size: int = 8, num_classes: int = 5) -> dict[str, float]:
    """Floating-point operations of each kind of update."""
    network = classifier_from_linen(resnet(name, num_classes))
    optimizer = optax.adam(1e-3)
    erm, guided, full = (
        ClassifierUpdate(network, objective, optimizer, SaliencySettings())
        for objective in (
            algorithms.erm.classifier_objective(),
            algorithms.align.classifier_objective(regularisation=0.0),
            algorithms.align.classifier_objective(),
        )
    )
    masker = MaskerUpdate(masker_from_linen(Masker()), algorithms.align.masker_objective(), optimizer, FILLS["mean"])
    image = jnp.zeros((1, size, size, 3))
    classifier_state = jax.eval_shape(lambda: create_classifier_state(network, optimizer, KEY, image))
    masker_state = jax.eval_shape(lambda: create_masker_state(masker.network, optimizer, KEY, image))
    batch = {
        "image": jax.ShapeDtypeStruct((batch_size, size, size, 3), jnp.float32),
        "label": jax.ShapeDtypeStruct((batch_size,), jnp.int32),
        "mask": jax.ShapeDtypeStruct((batch_size, size, size, 1), jnp.float32),
    }

    def count(step, *arguments) -> float:
        return jax.jit(step).trace(*arguments).lower(lowering_platforms=("tpu",)).cost_analysis()["flops"]

    def masks(batch):
        return batch["mask"]

    def frozen(state):
        return lambda image: network.logits(state.params, state.batch_stats, image)

    return {
        "ERM step": count(lambda s, b: classifier_step(erm, s, b, KEY), classifier_state, batch),
        "guided classifier step, no mixup": count(
            lambda s, b: classifier_step(guided, s, b, KEY, masks), classifier_state, batch
        ),
        "guided classifier step, with mixup": count(
            lambda s, b: classifier_step(full, s, b, KEY, masks), classifier_state, batch
        ),
        "masker step": count(
            lambda s, m, b: masker_step(masker, m, b, KEY, frozen(s)), classifier_state, masker_state, batch
        ),
        "round, no mixup": count(
            lambda s, m, b: align_round(guided, masker, s, m, [b], KEY), classifier_state, masker_state, batch
        ),
        "round, with mixup": count(
            lambda s, m, b: align_round(full, masker, s, m, [b], KEY), classifier_state, masker_state, batch
        ),
    }


if __name__ == "__main__":
    counts = flops()
    for update, count in counts.items():
        print(f"{update:<36}{count / 1e9:10.1f} GFLOP {count / counts['ERM step']:8.2f} x ERM")
