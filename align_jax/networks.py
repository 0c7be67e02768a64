"""A classifier and a masker as plain functions, so that any model that is given as (features, head) can be trained.

`classifier_from_linen` and `masker_from_linen` wrap Flax modules. A network from another framework, or a hand-written
one, fills in the same named tuples.
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
      features: (params, batch_stats, image, train, key) -> (features [b h w c], batch_stats). With `train`, BatchNorm
        uses the batch's statistics and returns updated ones; without it, or if frozen, `batch_stats` is unchanged.
        `key` is for dropout and the like: None where `train` is false, and a new one for each pass of an update.
      head: (params, features) -> logits [b k]; each example's logits depend on its own features alone. It takes no
        key: the logits and Grad-CAM, which is the head's gradient, must be of the same function. Dropout before a
        linear head therefore belongs at the end of `features`: to drop values after a spatial mean is to drop whole
        channels of the map, `nn.Dropout(rate, broadcast_dims=(1, 2))`.
      lean: as `features`, keeping less for the gradient; None for a network that has no such pass. An update's passes
        on other images than the batch's own, such as mixed ones, go through it.
    """

    init: Callable[[Key[Array, ""], Float[Array, "b h w c"]], tuple[Params, BatchStats]]
    features: Callable[
        [Params, BatchStats, Float[Array, "b h w c"], bool, Key[Array, ""] | None],
        tuple[Float[Array, "b u v d"], BatchStats],
    ]
    head: Callable[[Params, Float[Array, "b u v d"]], Float[Array, "b k"]]
    lean: Callable[..., tuple[Float[Array, "b u v d"], BatchStats]] | None = None

    def logits(self, params: Params, batch_stats: BatchStats, image: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """f(x) with stored BatchNorm statistics and without dropout, as for evaluation."""
        features, _ = self.features(params, batch_stats, image, False, None)
        return self.head(params, features)


class Masker(NamedTuple):
    """M: x -> M(x) in [0, 1].

    Attributes:
      init: (key, image [b h w c]) -> (params, batch_stats).
      mask: (params, batch_stats, image, train, key) -> (mask [b h w 1], batch_stats), as a classifier's `features`.
    """

    init: Callable[[Key[Array, ""], Float[Array, "b h w c"]], tuple[Params, BatchStats]]
    mask: Callable[
        [Params, BatchStats, Float[Array, "b h w c"], bool, Key[Array, ""] | None],
        tuple[Float[Array, "b h w 1"], BatchStats],
    ]


def classifier_from_linen(
    module: nn.Module, features: str = "features", head: str = "head", lean: str = ""
) -> Classifier:
    """A classifier from a Linen module with one method `(image, train)` -> map and one `(features)` -> logits.

    BatchNorm's statistics are kept, and training has a random stream `dropout`. `init` calls the two methods one after
    the other; `__call__` is not used.

    Args:
      module: the model.
      features: the name of the method that returns the last convolutional map.
      head: the name of the method, or submodule, that returns the logits.
      lean: the name of the method that returns the map and keeps less for the gradient, if there is one.
    """
    to_map, to_logits = _method(module, features), _method(module, head)

    def whole(module: nn.Module, image: Array, train: bool) -> Array:
        return to_logits(module, to_map(module, image, train=train))

    def apply_head(params: Params, last_map: Array) -> Array:
        logits: Any = module.apply({"params": params}, last_map, method=to_logits)
        return logits

    lean_pass = _apply_with(module, _method(module, lean)) if lean else None
    return Classifier(_init_with(module, whole), _apply_with(module, to_map), apply_head, lean_pass)


def masker_from_linen(module: nn.Module, mask: str = "__call__") -> Masker:
    """A masker from a Linen module whose method `mask` maps `(image, train)` to a mask [b h w 1] in [0, 1]."""
    method = _method(module, mask)
    return Masker(_init_with(module, method), _apply_with(module, method))


def _method(module: nn.Module, name: str) -> Callable[..., Array]:
    def method(bound: nn.Module, *arguments: Any, **named: Any) -> Array:
        # Looked up when called: a submodule that `setup` makes does not exist before.
        try:
            called = getattr(bound, name)
        except AttributeError as error:
            raise ValueError(
                f"{type(module).__name__} has no method {name!r}; name the methods that it has: "
                "classifier_from_linen(module, features=..., head=...), masker_from_linen(module, mask=...)."
            ) from error
        output: Array = called(*arguments, **named)
        return output

    return method


def _init_with(module: nn.Module, method: Callable[..., Array]) -> Callable[..., tuple[Params, BatchStats]]:
    def init(key: Key[Array, ""], image: Array) -> tuple[Params, BatchStats]:
        variables = module.init(key, image, train=False, method=method)
        return variables["params"], variables.get("batch_stats", {})

    return init


def _apply_with(module: nn.Module, method: Callable[..., Array]) -> Callable[..., tuple[Array, BatchStats]]:
    def apply(
        params: Params, batch_stats: BatchStats, image: Array, train: bool, key: Key[Array, ""] | None
    ) -> tuple[Array, BatchStats]:
        variables = {"params": params, "batch_stats": batch_stats}
        rngs = None if key is None else {"dropout": key}
        # One call for both: without `train` nothing is mutable, and the statistics stay as they are.
        mutable = ["batch_stats"] if train else []
        output, updated = module.apply(variables, image, train=train, method=method, mutable=mutable, rngs=rngs)
        return output, updated.get("batch_stats", batch_stats)

    return apply
