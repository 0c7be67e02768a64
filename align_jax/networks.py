"""A classifier and a masker as plain functions, so that any model given as (features, head) can be trained here.

`classifier_from_linen` and `masker_from_linen` wrap Flax modules; another framework, or a hand-written network, only
has to fill in the same named tuples.
"""

from collections.abc import Callable
from typing import Any, NamedTuple

import flax.linen as nn
from jaxtyping import Array, Float, Key

Params = Any
BatchStats = Any


class Classifier(NamedTuple):
    """f = head(features(x)).

    Attributes:
      init: (key, image [b h w c]) -> (params, batch_stats); `batch_stats` is an empty dict without BatchNorm.
      features: (params, batch_stats, image, train) -> (features [b h w c], batch_stats). With `train` BatchNorm
        uses the batch's statistics and returns updated ones; without it, or frozen, they come back as they went in.
      head: (params, features) -> logits [b k]; each example's logits depend on its own features alone.
    """

    init: Callable[[Key[Array, ""], Float[Array, "b h w c"]], tuple[Params, BatchStats]]
    features: Callable[[Params, BatchStats, Float[Array, "b h w c"], bool], tuple[Float[Array, "b u v d"], BatchStats]]
    head: Callable[[Params, Float[Array, "b u v d"]], Float[Array, "b k"]]

    def logits(self, params: Params, batch_stats: BatchStats, image: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """f(x) with stored BatchNorm statistics, as for evaluation."""
        features, _ = self.features(params, batch_stats, image, False)
        return self.head(params, features)


class Masker(NamedTuple):
    """M: x -> M(x) in [0, 1].

    Attributes:
      init: (key, image [b h w c]) -> (params, batch_stats).
      mask: (params, batch_stats, image, train) -> (mask [b h w 1], batch_stats).
    """

    init: Callable[[Key[Array, ""], Float[Array, "b h w c"]], tuple[Params, BatchStats]]
    mask: Callable[[Params, BatchStats, Float[Array, "b h w c"], bool], tuple[Float[Array, "b h w 1"], BatchStats]]


def _init_with(module: nn.Module) -> Callable[[Key[Array, ""], Array], tuple[Params, BatchStats]]:
    def init(key: Key[Array, ""], image: Array) -> tuple[Params, BatchStats]:
        variables = module.init(key, image, train=False)
        return variables["params"], variables.get("batch_stats", {})

    return init


def _apply_with(module: nn.Module, method: str) -> Callable[..., tuple[Array, BatchStats]]:
    def apply(params: Params, batch_stats: BatchStats, image: Array, train: bool) -> tuple[Array, BatchStats]:
        variables = {"params": params, "batch_stats": batch_stats}
        # One call for both: without `train` nothing is mutable, and what comes back is what went in.
        mutable = ["batch_stats"] if train else []
        output, updated = module.apply(variables, image, train=train, method=method, mutable=mutable)
        return output, updated.get("batch_stats", batch_stats)

    return apply


def classifier_from_linen(module: nn.Module) -> Classifier:
    """A Linen module with methods `features(image, train)`, `head(features)` and `__call__(image, train)`."""

    def head(params: Params, features: Array) -> Array:
        logits: Any = module.apply({"params": params}, features, method="head")
        return logits

    return Classifier(_init_with(module), _apply_with(module, "features"), head)


def masker_from_linen(module: nn.Module) -> Masker:
    """A Linen module with `__call__(image, train)` that gives a mask [b h w 1] in [0, 1]."""
    return Masker(_init_with(module), _apply_with(module, "__call__"))
