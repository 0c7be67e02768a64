"""Cuts behind a layer of any Linen module, in `@nn.compact` too: the layer's output is intercepted."""

import dataclasses
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from typing import Any

import flax
import flax.linen as nn
import jax
import jax.numpy as jnp
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

# The collections of a call: at the layer's place the one holds what it shall return, the other what it did return.
GIVEN, RETURNED = "align_jax_given", "align_jax_returned"
OUTPUT = "align_jax_output"  # no submodule has this name


def cut_linen(
    module: nn.Module,
    variables: Mapping[str, Any],
    layer: str,
    *,
    outputs: Choice | None = None,
    features: Choice | None = None,
    tokens: Tokens | None = None,
    call: int | None = None,
    **arguments: Any,
) -> Cut:
    """The module, cut behind one of its layers: `head(features(x)) == f(x)`, but for rounding.

        cut = saliency.cut_linen(module, variables, "encoder/layer_3", outputs=0, train=False)

    Features and head are one compiled program each, and the head's does not compute what lies before the layer, but for
    what leads around it, such as the skip connection of its block. Other variables of the same module, or of an equal
    and hashable one, compile nothing anew. The path is checked when the cut is first used.

    Behind the last block of a transformer that reads its class token alone, every map is zero, and a warning says so:
    take the block before it.

    Args:
      module: any Linen module; of Hugging Face's models, their `module`.
      variables: as in `module.apply`: {"params": ..., "batch_stats": ...}. They are read, never changed.
      layer: the path of a submodule, as in the params: "block4", "encoder/layer_3". `saliency.layers` lists them.
      outputs: what to explain of what the module returns: a place, such as 0, a name, or a function. A function must
        be made once: a lambda written into the call is another one each time, and compiles anew each time.
      features: the same for what the layer returns, if there are several arrays.
      tokens: how a layer's tokens [b n d] lie in the image; inferred if only one answer fits (see `Tokens`).
      call: which call of a layer that is called several times, from 0.
      arguments: the keyword arguments of `module.apply`, such as `train=False`, `method=` or `rngs=`. They must ask for
        evaluation: an image's outputs may depend on no other image.

    Raises:
      TypeError: something that is no Linen module, or an argument that is neither hashable nor an array.
      ValueError: variables without "params". When the cut is used: no such layer (the closest are named); a layer that
        is called several times, and no `call`; one inside of `nn.scan` or another loop (`nn.remat` and `nn.jit` are no
        hindrance); a choice that does not fit; tokens that do not fit or are ambiguous; a module that changes its
        variables.
    """
    if not isinstance(module, nn.Module):
        hint = "give its .module" if isinstance(getattr(module, "module", None), nn.Module) else "see cut_nnx and cut"
        raise TypeError(f"cut_linen needs a flax.linen module, and this is a {type(module).__name__}: {hint}")
    if variables and "params" not in variables:
        raise ValueError(f'variables are {", ".join(variables)}, without "params": give {{"params": params}}')
    static, arrays = static_and_arrays(arguments)
    model = LinenLayer(_Hashable(module), layer, features, call, static)
    return layer_cut(model, dict(variables), arrays, outputs, tokens)


class _Hashable:
    """A module that stands for all equal ones; or for itself alone, if it has a field that is not hashable."""

    def __init__(self, value: nn.Module) -> None:
        self.value = value
        try:
            self.hash, self.by_fields = hash(value), True
        except TypeError:
            self.hash, self.by_fields = id(value), False

    def __eq__(self, other: object) -> bool:
        if not isinstance(other, _Hashable):
            return False
        return self.value is other.value or (self.by_fields and other.by_fields and self.value == other.value)

    def __hash__(self) -> int:
        return self.hash


@dataclasses.dataclass(frozen=True)
class LinenLayer:
    """A layer of a module, and how the module is called: see `layer_cut.ModelLayer`."""

    module: _Hashable
    layer: str
    features: Choice | None
    call: int | None
    static: tuple[tuple[str, Any], ...]

    def output(self, variables: Any, arguments: Arguments, image: Array) -> Shaped[Array, "b ..."]:
        """What the layer returns."""
        shapes: list[tuple[int, ...]] = []

        def keep(module: nn.Module, number: int, returned: Any) -> tuple[Any, Array]:
            leaves = jax.tree.leaves(returned)
            output = leaves[place_of_features(self.features, returned, self.layer)]
            shapes.append(output.shape)
            return returned, output

        _, kept, names = self._run(variables, arguments, image, jnp.zeros(()), keep)
        if not kept and (not self.layer or self.layer not in names):
            raise no_such_layer(self.layer, names)
        if not kept or (shapes and kept[0].shape != shapes[0]):
            raise inside_transform(self.layer, "a transform such as nn.scan, nn.vmap or nn.while_loop")
        return kept[which_call(self.layer, len(kept), self.call)]

    def replaced(
        self, variables: Any, arguments: Arguments, image: Array, given: Shaped[Array, "b ..."]
    ) -> tuple[Any, list[str]]:
        """What the module returns if the layer returns what is given, and the paths of its layers."""

        def put(module: nn.Module, number: int, returned: Any) -> tuple[Any, Array]:
            if number == (self.call or 0):
                place = place_of_features(self.features, returned, self.layer)
                returned = with_features(returned, place, module.get_variable(GIVEN, OUTPUT), self.layer)
            return returned, jnp.zeros(())

        outputs, _, names = self._run(variables, arguments, image, given, put)
        return outputs, names

    def _run(
        self,
        variables: Any,
        arguments: Arguments,
        image: Array,
        given: Array,
        tap: Callable[[nn.Module, int, Any], tuple[Any, Array]],
    ) -> tuple[Any, list[Any], list[str]]:
        """The module's outputs, what `tap` kept of each call of the layer, and the paths of all layers.

        The given value marks the layer. A path would not do: blocks under one `nn.jit` share their trace.
        """
        place: Any = {OUTPUT: given}
        for part in reversed(self.layer.split("/")):
            place = {part: place}
        names: list[str] = []

        def at_layer(module: nn.Module, returned: Any) -> Any:
            names.append("/".join(module.path))
            if not (module.has_variable(GIVEN, OUTPUT) and module.is_mutable_collection(RETURNED)):
                return returned
            number = 0
            while module.has_variable(RETURNED, f"{OUTPUT}_{number}"):
                number += 1
            returned, kept = tap(module, number, returned)
            module.put_variable(RETURNED, f"{OUTPUT}_{number}", kept)
            return returned

        with intercepted(at_layer):
            outputs, changed = apply(self.module.value, {**variables, GIVEN: place}, image, self.static, arguments)
        found: Any = changed.get(RETURNED, {})
        for part in self.layer.split("/"):
            found = found.get(part, {})
        calls = [found[name] for number in range(len(found)) if (name := f"{OUTPUT}_{number}") in found]
        return outputs, calls, names


def apply(
    module: nn.Module, variables: Any, image: Array, static: tuple[tuple[str, Any], ...], arrays: Arguments
) -> tuple[Any, Any]:
    """The module's outputs, and what was kept in the collection RETURNED; all others are only read.

    Raises:
      ValueError: the module changes its variables.
    """
    try:
        return module.apply(variables, image, **dict(static), **arrays, mutable=[RETURNED])
    except flax.errors.ModifyScopeVariableError as error:
        raise ValueError(
            f"{type(module).__name__} changes its variables in this call, as in training: pass what it takes for "
            "evaluation, such as train=False or deterministic=True"
        ) from error


@contextmanager
def intercepted(at_layer: Callable[[nn.Module, Any], Any]) -> Iterator[None]:
    """Each submodule's call returns `at_layer(submodule, what it returned)`.

    A call inside of a call of the same submodule is not a layer's: `super().__call__`.
    """
    running: set[tuple[str, ...]] = set()

    def intercept(following: Any, arguments: Any, keywords: Any, context: nn.module.InterceptorContext) -> Any:
        module = context.module
        if context.method_name != "__call__" or module.scope is None or module.path in running:
            return following(*arguments, **keywords)
        path = module.path
        running.add(path)
        try:
            returned = following(*arguments, **keywords)
        finally:
            running.discard(path)
        return at_layer(module, returned)

    with nn.intercept_methods(intercept):
        yield
