"""A cut behind a named layer of a model: the part that is the same for Linen and NNX.

Features and head are both the whole model: the one stops at the layer's output, the other puts the given features in
its place. XLA removes what is then not read, the layers after the cut from the one and those before it from the other.
"""

import dataclasses
import difflib
import functools
import os
import re
import sys
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import Any, NamedTuple, Protocol, runtime_checkable

import flax
import jax
import numpy as np
from jax.tree_util import Partial
from jaxtyping import Array, Float, Shaped

import align_jax
from align_jax.saliency.cut import Cut, Features
from align_jax.saliency.reach import reads_last_input
from align_jax.saliency.targets import Outputs
from align_jax.saliency.tokens import Tokens, join

# A part of what a model or a layer returns: its place, its name, or a function that finds it.
Choice = Callable[[Any], Any] | str | int
Arguments = Mapping[str, Any]


@runtime_checkable
class ModelLayer(Protocol):
    """A model, and a layer of it. It is hashable, and equal to another one that computes the same."""

    @property
    def layer(self) -> str:
        """The layer's path."""

    def output(self, variables: Any, arguments: Arguments, image: Array) -> Shaped[Array, "b ..."]:
        """What the layer returns."""

    def replaced(
        self, variables: Any, arguments: Arguments, image: Array, given: Shaped[Array, "b ..."]
    ) -> tuple[Any, list[str]]:
        """What the model returns if the layer returns what is given, and the paths of its layers."""


class LayerCut(NamedTuple):
    """The function of a cut's `split`, without the variables: what is static in a compiled program."""

    model: ModelLayer
    outputs: Choice | None
    tokens: Tokens | None

    def __call__(
        self, variables: Any, arguments: Arguments, image: Float[Array, "b h w c"]
    ) -> tuple[Features, Callable[[Features], Outputs]]:
        if image.ndim != 4:
            raise ValueError(f"an image of shape {list(image.shape)} is no batch of images: give [b h w c]")
        before, features = _features(self, variables, arguments, image)
        return features, Partial(_Head(self), variables, arguments, image, before)


class _Head(NamedTuple):
    cut: LayerCut

    def __call__(self, *arguments: Any) -> Outputs:
        return _outputs(self.cut, *arguments)


def layer_cut(
    model: ModelLayer, variables: Any, arguments: Arguments, outputs: Choice | None, tokens: Tokens | None
) -> Cut:
    """The cut behind the layer. Variables and arguments are the leaves of the pytree."""
    return Cut(Partial(LayerCut(model, outputs, tokens), variables, arguments))


@functools.partial(jax.jit, static_argnums=0)
def _features(
    cut: LayerCut, variables: Any, arguments: Arguments, image: Float[Array, "b h w c"]
) -> tuple[Array | None, Features]:
    """The tokens before the patches, if there are tokens, and the map."""
    output, layer = cut.model.output(variables, arguments, image), cut.model.layer
    if output.ndim == 4 and cut.tokens is None:
        return None, output
    if output.ndim == 3:
        return (cut.tokens or Tokens()).split(output, *image.shape[1:3])
    if output.ndim == 4:
        raise ValueError(f"the output of {layer!r} is a map, {list(output.shape)}: leave out tokens={cut.tokens}")
    raise ValueError(
        f"the output of {layer!r} has the shape {list(output.shape)}, which is neither a map [b u v d] nor tokens "
        "[b n d]: choose an earlier layer; saliency.layers lists them"
    )


@functools.partial(jax.jit, static_argnums=0)
def _outputs(
    cut: LayerCut,
    variables: Any,
    arguments: Arguments,
    image: Float[Array, "b h w c"],
    before: Array | None,
    features: Features,
) -> Outputs:
    names: list[str] = []

    def run(variables: Any, arguments: Arguments, image: Array, before: Array | None, features: Features) -> Outputs:
        given = features if before is None else join(before, features)
        returned, layers = cut.model.replaced(variables, arguments, image, given)
        names.extend(layers)
        return _model_outputs(cut.outputs, returned)

    inputs = (variables, arguments, image, before, features)
    if before is None or not before.shape[1]:
        return run(*inputs)
    # `trace` and the call below share one trace of the model.
    program = jax.jit(run)
    if not reads_last_input(program.trace(*inputs).jaxpr):
        warnings.warn(_unread(cut.model.layer, names), stacklevel=_frames_of_libraries())
    return program(*inputs)


def _frames_of_libraries() -> int:
    """How many frames above the caller's the user's own code is: those between are of this library, JAX and Flax."""
    libraries = tuple(os.path.dirname(str(module.__file__)) + os.sep for module in (align_jax, jax, flax))
    frame, level = sys._getframe(1), 1
    while frame.f_back is not None and frame.f_code.co_filename.startswith(libraries):
        frame, level = frame.f_back, level + 1
    return level


def _unread(layer: str, names: list[str]) -> str:
    # "blocks.11.norm1" -> "blocks.10.norm1": the same of the block before.
    lowered = (f"{layer[: n.start()]}{int(n[0]) - 1}{layer[n.end() :]}" for n in re.finditer(r"\d+", layer))
    before = next((name for name in lowered if name in names), None)
    remedy = f"the layer before, {before!r}" if before else "one before the last attention"
    return (
        f"no gradient reaches the patches: after {layer!r} the model reads only the tokens before them, such as the "
        f"class token, so every map of it is zero: take {remedy}"
    )


def _model_outputs(choice: Choice | None, returned: Any) -> Outputs:
    if choice is not None:
        return chosen(choice, returned, "outputs")
    if not hasattr(returned, "ndim"):
        raise ValueError(f"the model returns {described(returned)}: choose its logits, such as outputs=0")
    return returned


def chosen(choice: Choice, returned: Any, argument: str) -> Any:
    """The chosen part.

    Raises:
      ValueError: there is no such part.
    """
    if callable(choice):
        return choice(returned)
    try:
        named = isinstance(choice, str) and not isinstance(returned, Mapping) and hasattr(returned, choice)
        return getattr(returned, choice) if named else returned[choice]  # type: ignore[arg-type]
    except (KeyError, IndexError, TypeError) as error:
        raise ValueError(f"{argument}={choice!r} chooses nothing of {described(returned)}") from error


def place_of_features(choice: Choice | None, returned: Any, layer: str) -> int:
    """Which leaf of what the layer returns is chosen.

    Raises:
      ValueError: it returns several arrays and nothing was chosen, or something that is none of them.
    """
    leaves = jax.tree.leaves(returned)
    if choice is None and len(leaves) == 1:
        return 0
    if choice is None:
        raise ValueError(f"{layer!r} returns {described(returned)}: choose one array, such as features=0")
    part = chosen(choice, returned, "features")
    for place, leaf in enumerate(leaves):
        if leaf is part:
            return place
    raise ValueError(
        f"features={choice!r} must choose one of the arrays that {layer!r} returns, as it is: it returns "
        f"{described(returned)}"
    )


def with_features(returned: Any, place: int, given: Shaped[Array, "b ..."], layer: str) -> Any:
    """What the layer returns, with the given features at this place.

    Raises:
      ValueError: they have another shape.
    """
    leaves, tree = jax.tree.flatten(returned)
    if given.shape[1:] != leaves[place].shape[1:]:
        raise ValueError(
            f"features of shape {list(given.shape)} do not fit {layer!r}, whose output is {list(leaves[place].shape)}"
        )
    leaves[place] = given.astype(leaves[place].dtype)
    return jax.tree.unflatten(tree, leaves)


def described(returned: Any) -> str:
    """What a model or a layer returns, in a few words."""
    if isinstance(returned, Mapping):
        return f"a {type(returned).__name__} with {', '.join(map(str, returned))}"
    if dataclasses.is_dataclass(returned):
        return f"a {type(returned).__name__} with {', '.join(field.name for field in dataclasses.fields(returned))}"
    if isinstance(returned, tuple | list):
        return f"a {type(returned).__name__} of {len(returned)}"
    shape = list(getattr(returned, "shape", ()))
    return f"an array of shape {shape}" if hasattr(returned, "shape") else f"a {type(returned).__name__}"


def static_and_arrays(arguments: Arguments) -> tuple[tuple[tuple[str, Any], ...], dict[str, Any]]:
    """Keyword arguments of a model's call: those that a compiled program knows, and those with arrays.

    Raises:
      TypeError: an argument that is neither an array nor hashable.
    """
    arrays = {
        name: value
        for name, value in arguments.items()
        if any(isinstance(leaf, jax.Array | np.ndarray) for leaf in jax.tree.leaves(value))
    }
    static = tuple(sorted((name, value) for name, value in arguments.items() if name not in arrays))
    for name, value in static:
        try:
            hash(value)
        except TypeError as error:
            raise TypeError(
                f"{name}={value!r} is neither an array nor hashable: give an array, or a tuple in place of a list"
            ) from error
    return static, arrays


def no_such_layer(layer: str, layers: Iterable[str]) -> ValueError:
    """What to raise for a path that is no layer's."""
    known = sorted(set(layers) - {""})
    closest = difflib.get_close_matches(layer, known, n=3, cutoff=0)
    return ValueError(f"the model calls no layer {layer!r}: the closest are {', '.join(map(repr, closest))}")


def which_call(layer: str, calls: int, call: int | None) -> int:
    """The number of the call that is meant.

    Raises:
      ValueError: there are several and none was named, or there is none of this number.
    """
    if call is None and calls > 1:
        raise ValueError(f"{layer!r} is called {calls} times: choose call=0 to call={calls - 1}, in the order of calls")
    if call is not None and not 0 <= call < calls:
        raise ValueError(f"call={call} does not exist: {layer!r} is called {calls} times, call=0 to call={calls - 1}")
    return call or 0


def inside_transform(layer: str, transforms: str) -> ValueError:
    """What to raise for a layer whose output stays inside of a loop."""
    return ValueError(
        f"{layer!r} lies inside {transforms}, and its output stays there: choose a layer before or after it, or build "
        "the model without it"
    )
