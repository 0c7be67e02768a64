"""The updates that benchmarks measure: ERM, DRE, masker and ALIGN round of one classifier and one masker, by Adam."""

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import optax
from jax.typing import DTypeLike

from align_jax.algorithms import align, dre, erm
from align_jax.fills import FILLS
from align_jax.micro_batches import WHOLE, MicroBatches
from align_jax.models.masker import EncoderDecoder
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen, masker_from_linen
from align_jax.states import create_classifier_state, create_masker_state
from align_jax.steps import ClassifierUpdate, MaskerUpdate, align_round, classifier_step, masker_step

UPDATES = ("ERM", "DRE", "masker", "ALIGN round")
CLASSES, KEY = 5, jax.random.key(0)
# Positions in what `FourUpdates.first` returns.
CLASSIFIER, MASKER, BATCH = range(3)


class Update(NamedTuple):
    """An update: its step returns the new states, then the metrics.

    Attributes:
      step: a function of what it reads.
      reads: what the step's arguments are: `CLASSIFIER`, `MASKER` and `BATCH`, the states that it replaces first.
      states: how many of the arguments it replaces; they can be donated.
    """

    step: Callable[..., tuple[Any, ...]]
    reads: tuple[int, ...]
    states: int


class FourUpdates:
    """The updates, by name, of networks as training builds them: passes on mixed images keep less.

    Args:
      name: the classifier's, one of `RESNETS`.
      dtype: in which both networks compute.
      remat: as `classifier.remat`.
      micro_batches: in how many parts the networks see a batch.
    """

    def __init__(
        self, name: str, *, dtype: DTypeLike = "float32", remat: bool = False, micro_batches: MicroBatches = WHOLE
    ) -> None:
        dtype, self._optimizer = jnp.dtype(dtype), optax.adam(1e-3)
        self._network = classifier_from_linen(resnet(name, CLASSES, dtype=dtype, remat=remat), lean="lean_features")
        self._masker = MaskerUpdate(
            masker_from_linen(EncoderDecoder(dtype=dtype)),
            align.masker_objective(),
            self._optimizer,
            FILLS["mean"],
            micro_batches=micro_batches,
        )
        of_erm, of_dre, of_align = (
            ClassifierUpdate(self._network, method.classifier_objective(), self._optimizer, micro_batches=micro_batches)
            for method in (erm, dre, align)
        )
        both = (CLASSIFIER, MASKER, BATCH)
        self.by_name = {
            "ERM": Update(lambda f, batch: classifier_step(of_erm, f, batch, KEY), (CLASSIFIER, BATCH), 1),
            "DRE": Update(lambda f, batch: classifier_step(of_dre, f, batch, KEY), (CLASSIFIER, BATCH), 1),
            "masker": Update(self._masker_step, (MASKER, CLASSIFIER, BATCH), 1),
            "ALIGN round": Update(lambda f, m, batch: align_round(of_align, self._masker, f, m, [batch], KEY), both, 2),
        }

    def _masker_step(self, state: Any, frozen: Any, batch: Any) -> tuple[Any, ...]:
        logits = lambda image: self._network.logits(frozen.params, frozen.batch_stats, image)  # noqa: E731
        return masker_step(self._masker, state, batch, KEY, logits)

    def first(self, size: int, batch_size: int) -> tuple[Any, Any, Any]:
        """(the classifier's state, the masker's, a batch) to begin with; to be called in `jax.jit` or `eval_shape`."""
        image = jax.random.normal(KEY, (batch_size, size, size, 3))
        batch = {"image": image, "label": jnp.arange(batch_size) % CLASSES}
        return (
            create_classifier_state(self._network, self._optimizer, KEY, image[:1]),
            create_masker_state(self._masker.network, self._optimizer, KEY, image[:1]),
            batch,
        )
