"""Cuts behind a layer of any NNX model. They work on a copy: the model itself is never changed."""

import dataclasses
from collections.abc import Callable, Mapping
from typing import Any

import jax
from flax import nnx
from flax.nnx.tracers import current_jax_trace
from jaxtyping import Array, Shaped

from align_jax.saliency.cut import Cut
from align_jax.saliency.layer_cut import (
    Arguments,
    Choice,
    inside_transform,
    layer_cut,
    no_such_layer,
    place_of_features,
    static_and_arrays,
    which_call,
    with_features,
)
from align_jax.saliency.tokens import Tokens


def cut_nnx(
    model: nnx.Module,
    layer: str,
    *,
    outputs: Choice | None = None,
    features: Choice | None = None,
    tokens: Tokens | None = None,
    call: int | None = None,
    **arguments: Any,
) -> Cut:
    """The model, cut behind one of its layers: `head(features(x)) == f(x)`, but for rounding.

        model.eval()
        cut = saliency.cut_nnx(model, "blocks.11")

    Call `model.eval()` first: it is yours to say how dropout and BatchNorm behave. The cut has the model's variables as
    they are now. Another model of the same structure compiles nothing anew. The rest is as in `cut_linen`.

    Args:
      model: any NNX model that is called with images.
      layer: the path of a submodule through attributes, lists and dicts: "blocks.11", "encoder.layers.3.norm".
      outputs, features, tokens, call: as in `cut_linen`.
      arguments: the keyword arguments of the model's call.

    Raises:
      TypeError: something that is no NNX model, or an argument that is neither hashable nor an array.
      ValueError: no such layer (the closest are named). When the cut is used: as `cut_linen`, but a layer inside
        `nnx.remat` or `nnx.jit` is refused too; and a model in training mode.
    """
    if not isinstance(model, nnx.Module):
        raise TypeError(f"cut_nnx needs a flax.nnx model, and this is a {type(model).__name__}: see cut_linen and cut")
    submodule(model, layer)
    static, arrays = static_and_arrays(arguments)
    structure, state = nnx.split(model)
    # New variables, lest training the model in place changes the cut.
    state = jax.tree.map(lambda value: value, state)
    return layer_cut(NnxLayer(structure, layer, features, call, static), state, arrays, outputs, tokens)


def names_of_modules(model: nnx.Module) -> list[str]:
    """The paths of a model's modules."""
    return [".".join(map(str, path)) for path, _ in nnx.iter_modules(model)]


def submodule(model: nnx.Module, layer: str) -> nnx.Module:
    """The module at a path.

    Raises:
      ValueError: there is none.
    """
    found: Any = model
    for part in layer.split("."):
        try:
            named = hasattr(found, part) and not isinstance(found, Mapping)
            found = getattr(found, part) if named else found[int(part) if part.isdigit() else part]
        except (KeyError, IndexError, TypeError) as error:
            raise no_such_layer(layer, names_of_modules(model)) from error
    if not isinstance(found, nnx.Module) or not callable(found):
        raise ValueError(f"{layer!r} is a {type(found).__name__}, which is no module that is called: choose a layer")
    return found


def tap(module: nnx.Module, at_call: Callable[[Any], Any]) -> None:
    """From now on a call of this module returns `at_call(what it returned)`: it gets a class of its own."""
    original: Any = type(module)

    def call(self: Any, *arguments: Any, **keywords: Any) -> Any:
        return at_call(original.__call__(self, *arguments, **keywords))

    module.__class__ = type(original.__name__, (original,), {"__call__": call})


@dataclasses.dataclass(frozen=True)
class NnxLayer:
    """A layer of a model, and how the model is called: see `layer_cut.ModelLayer`."""

    structure: Any
    layer: str
    features: Choice | None
    call: int | None
    static: tuple[tuple[str, Any], ...]

    def output(self, variables: Any, arguments: Arguments, image: Array) -> Shaped[Array, "b ..."]:
        """What the layer returns."""
        kept: list[Array] = []
        outside = current_jax_trace()

        def keep(returned: Any) -> Any:
            if current_jax_trace() != outside:  # inside of nnx.scan, nnx.remat and their like
                raise inside_transform(self.layer, "a transform such as nnx.scan, nnx.remat or nnx.jit")
            kept.append(jax.tree.leaves(returned)[place_of_features(self.features, returned, self.layer)])
            return returned

        model = self._run(variables, arguments, image, keep)[1]
        if not kept:
            raise ValueError(f"{self.layer!r} is never called: the model's modules are {names_of_modules(model)}")
        return kept[which_call(self.layer, len(kept), self.call)]

    def replaced(
        self, variables: Any, arguments: Arguments, image: Array, given: Shaped[Array, "b ..."]
    ) -> tuple[Any, list[str]]:
        """What the model returns if the layer returns what is given, and the paths of its layers."""
        calls: list[Any] = []

        def put(returned: Any) -> Any:
            calls.append(returned)
            if len(calls) - 1 != (self.call or 0):
                return returned
            return with_features(returned, place_of_features(self.features, returned, self.layer), given, self.layer)

        outputs, model = self._run(variables, arguments, image, put)
        return outputs, names_of_modules(model)

    def _run(
        self, variables: Any, arguments: Arguments, image: Array, at_call: Callable[[Any], Any]
    ) -> tuple[Any, nnx.Module]:
        model = nnx.merge(self.structure, variables, copy=True)
        tap(submodule(model, self.layer), at_call)
        return evaluated(model, image, self.static, arguments), model


def evaluated(model: nnx.Module, image: Array, static: tuple[tuple[str, Any], ...], arrays: Arguments) -> Any:
    """The model's outputs.

    Raises:
      ValueError: the model is in training mode: it changes a BatchNorm's statistics, or draws random numbers.
    """

    def of_training() -> list[Any]:
        return jax.tree.leaves(nnx.state(model, (nnx.BatchStat, nnx.RngCount)))

    before = of_training()
    outputs = model(image, **dict(static), **arrays)
    if any(now is not then for now, then in zip(of_training(), before, strict=True)):
        raise ValueError(f"{type(model).__name__} is in training mode: call model.eval() before the cut")
    return outputs
