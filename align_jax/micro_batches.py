"""Micro-batches: networks see a batch in parts, one after the other, and an update needs the memory of one part.

What takes memory in training is what a network's layers keep for the gradient. Here each pass through a network is a
loop over micro-batches that keeps its results alone. The gradient computes each micro-batch a second time, and adds up
what the parameters get. All that follows a pass still sees the whole batch: Grad-CAM, partners, losses, means over
domains. So the update is the whole batch's for every objective, whether it is a mean over examples or not. The price is
one more forward pass.

What a network itself computes from several examples is the micro-batch's: BatchNorm's statistics, unless they are
frozen, and the draws of dropout.
"""

import dataclasses
from collections.abc import Callable
from typing import TypeVar

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key, Shaped

from align_jax.networks import BatchStats, Classifier, Masker, Params
from align_jax.saliency.passes import one_by_one

Network = TypeVar("Network", Classifier, Masker)
Image = Float[Array, "b h w c"]


@dataclasses.dataclass(frozen=True)
class MicroBatches:
    """How a batch is cut: example i belongs to the micro-batch `(i // turn) mod count`.

    Each device of a mesh has neighbouring examples. So it has examples of every micro-batch, and no image moves between
    devices, if `count * turn` divides the number of its examples.

    Attributes:
      count: how many micro-batches there are.
      turn: how many neighbouring examples stay together. Where domains take turns in a batch, it is their number: each
        micro-batch then has equally many examples of each domain, like the batch.
    """

    count: int = 1
    turn: int = 1

    def cut(self, batch: Shaped[Array, "b ..."]) -> Shaped[Array, "n m ..."]:
        """The micro-batches.

        Raises:
          ValueError: they cannot be of one size.
        """
        size, *rest = batch.shape
        if size % (self.count * self.turn):
            raise ValueError(
                f"A batch of {size} cannot be cut into {self.count} micro-batches of whole turns of {self.turn}; "
                f"give a multiple of {self.count * self.turn}."
            )
        turns = batch.reshape(-1, self.count, self.turn, *rest)
        return turns.swapaxes(0, 1).reshape(self.count, -1, *rest)

    def joined(self, parts: Shaped[Array, "n m ..."]) -> Shaped[Array, "b ..."]:
        """The batch that was cut."""
        rest = parts.shape[2:]
        turns = parts.reshape(self.count, -1, self.turn, *rest)
        return turns.swapaxes(0, 1).reshape(-1, *rest)


WHOLE = MicroBatches()


def in_micro_batches(network: Network, micro_batches: MicroBatches) -> Network:
    """The network, which sees each batch in micro-batches.

    The new statistics of BatchNorm are the mean of those that each micro-batch would have led to. Each micro-batch has
    a key of its own.
    """
    if micro_batches.count == 1:
        return network
    if isinstance(network, Classifier):
        # There is one micro-batch's pass at a time, which has no other beside it that would have to be lean.
        return network._replace(features=_pass_in_parts(network.features, micro_batches), lean=None)
    return network._replace(mask=_pass_in_parts(network.mask, micro_batches))


def function_in_micro_batches(
    function: Callable[[Image], Float[Array, "b k"]], micro_batches: MicroBatches
) -> Callable[[Image], Float[Array, "b k"]]:
    """A function of images, such as a frozen classifier, which sees each batch in micro-batches."""
    if micro_batches.count == 1:
        return function
    return lambda image: micro_batches.joined(one_by_one(function, (micro_batches.cut(image),)))


def _pass_in_parts(
    whole: Callable[..., tuple[Array, BatchStats]], micro_batches: MicroBatches
) -> Callable[..., tuple[Array, BatchStats]]:
    def in_parts(
        params: Params, batch_stats: BatchStats, image: Image, train: bool, key: Key[Array, ""] | None
    ) -> tuple[Array, BatchStats]:
        def part(image: Image, number: Array) -> tuple[Array, BatchStats]:
            own_key = None if key is None else jax.random.fold_in(key, number)
            return whole(params, batch_stats, image, train, own_key)

        outputs, stats = one_by_one(part, (micro_batches.cut(image), jnp.arange(micro_batches.count)))
        # As a difference: frozen statistics must stay as they are to the bit; a mean of equal numbers may be rounded.
        new = jax.tree.map(lambda old, each: old + (each - old).mean(0).astype(old.dtype), batch_stats, stats)
        return micro_batches.joined(outputs), new

    return in_parts
