"""A model's layers: their paths, their outputs' shapes, and how much of the model's work lies after each.

The model is traced once, and nothing is run or compiled. What depends on a layer's output lies after it. XLA counts the
operations of each kind of equation once.
"""

import functools
from collections.abc import Callable, Mapping, Sequence
from typing import Any, NamedTuple

import jax
from flax import linen, nnx
from jax.ad_checkpoint import checkpoint_name
from jax.extend.core import Literal
from jaxtyping import Array, Float

from align_jax.saliency.equations import Equation, Program, written_out
from align_jax.saliency.layer_cut import Choice, chosen, static_and_arrays
from align_jax.saliency.linen import apply, intercepted
from align_jax.saliency.nnx import evaluated, tap

MARK = "align_jax layer: "


class Layer(NamedTuple):
    """A layer of a model.

    Attributes:
      path: as `cut_linen` or `cut_nnx` takes it.
      shape: of its output; of several arrays, of the first.
      kind: "spatial" for a map [b u v d], "tokens" for [b n d], or "other". Only the first two can be explained.
      flops_after: the share of the model's FLOPs that depend on it, 0 to 1: what Grad-CAM differentiates. A layer that
        the outputs do not depend on is not listed. Where something leads around the layer, such as a skip connection,
        its head computes that, too.
      calls: how often the model calls it. Shape and share are those of the last call.
    """

    path: str
    shape: tuple[int, ...]
    kind: str
    flops_after: float
    calls: int


class Layers(tuple[Layer, ...]):
    """Layers in the order of their outputs. It prints as a table."""

    def __str__(self) -> str:
        rows = [("layer", "output", "kind", "FLOPs after", "calls")]
        for layer in self:
            shape = " x ".join(map(str, layer.shape))
            rows.append((layer.path, shape, layer.kind, f"{100 * layer.flops_after:.1f} %", str(layer.calls)))
        widths = [max(map(len, column)) for column in zip(*rows, strict=True)]
        return "\n".join("  ".join(map(str.ljust, row, widths)).rstrip() for row in rows)


def layers(
    module: linen.Module,
    variables: Mapping[str, Any],
    image: Float[Array, "b h w c"] | jax.ShapeDtypeStruct,
    *,
    outputs: Choice | None = None,
    **arguments: Any,
) -> Layers:
    """The layers of a Linen module.

        print(saliency.layers(module, variables, image, train=False))

    Layers inside `nn.scan` and other loops are left out: a cut cannot have them. Blocks that share a program under one
    `nn.jit` are listed as calls of the first one.

    Args:
      module, variables, outputs, arguments: as in `cut_linen`. Without `outputs` all of them count.
      image: the images, or their shape; one is enough.

    Raises:
      ValueError, TypeError: as `cut_linen`.
    """
    static, arrays = static_and_arrays(arguments)

    def marked(image: Any, variables: Any, arrays: Any) -> Any:
        with intercepted(lambda submodule, returned: _marked("/".join(submodule.path), returned)):
            returned, _ = apply(module, variables, image, static, arrays)
        return returned if outputs is None else chosen(outputs, returned, "outputs")

    return _listed(marked, image, dict(variables), arrays)


def layers_nnx(
    model: nnx.Module,
    image: Float[Array, "b h w c"] | jax.ShapeDtypeStruct,
    *,
    outputs: Choice | None = None,
    **arguments: Any,
) -> Layers:
    """The layers of an NNX model, as `layers`; arguments and errors as in `cut_nnx`."""
    static, arrays = static_and_arrays(arguments)
    structure, state = nnx.split(model)

    def marked(image: Any, state: Any, arrays: Any) -> Any:
        copy = nnx.merge(structure, state, copy=True)
        for path, module in list(nnx.iter_modules(copy)):
            if callable(module):
                tap(module, functools.partial(_marked, ".".join(map(str, path))))
        returned = evaluated(copy, image, static, arrays)
        return returned if outputs is None else chosen(outputs, returned, "outputs")

    return _listed(marked, image, state, arrays)


def _marked(path: str, returned: Any) -> Any:
    """What a layer returns, its first array with a mark that the traced program keeps."""
    leaves, tree = jax.tree.flatten(returned)
    if path and leaves and hasattr(leaves[0], "dtype"):
        leaves[0] = checkpoint_name(leaves[0], MARK + path)
    return jax.tree.unflatten(tree, leaves)


def _listed(marked: Callable[..., Any], image: Any, *arguments: Any) -> Layers:
    program = written_out(jax.make_jaxpr(marked)(image, *arguments))
    known: dict[str, float] = {}
    program = program._replace(equations=_needed(program))
    flops = [_flops(equation.traced, known) for equation in program.equations]
    calls: dict[str, list[Equation]] = {}
    for equation in program.equations:
        mark = str(equation.traced.params.get("name", "")) if equation.name == "name" else ""
        if mark.startswith(MARK):
            path = mark.removeprefix(MARK)
            calls[path] = [*calls.pop(path, []), equation]  # in the order of the last calls
    return Layers(
        Layer(
            path,
            shape := tuple(each[-1].traced.outvars[0].aval.shape),
            _kind(shape, image.shape),
            _after(program, flops, each[-1].writes[0]) / max(sum(flops), 1),
            len(each),
        )
        for path, each in calls.items()
    )


def _kind(shape: tuple[int, ...], image: tuple[int, ...]) -> str:
    if len(shape) == 4:  # rows and columns as in the image, about: heads of attention have four axes, too
        proportion = shape[1] * image[2] / (shape[2] * image[1])
        return "spatial" if 0.5 <= proportion <= 2 else "other"
    return "tokens" if len(shape) == 3 else "other"


def _needed(program: Program) -> tuple[Equation, ...]:
    """The equations that the outputs depend on."""
    needed = {number for number in program.outputs if number is not None}
    kept = []
    for equation in reversed(program.equations):
        if not needed.isdisjoint(equation.writes):
            needed.update(number for number in equation.reads if number is not None)
            kept.append(equation)
    return tuple(reversed(kept))


def _after(program: Program, flops: Sequence[float], variable: int) -> float:
    """The FLOPs of the equations that depend on the variable."""
    reached = {variable}
    total = 0.0
    for equation, cost in zip(program.equations, flops, strict=True):
        if not reached.isdisjoint(equation.reads):
            reached.update(equation.writes)
            total += cost
    return total


def _flops(equation: Any, known: dict[str, float]) -> float:
    """XLA's count for one equation; the body of a scan counts as often as it runs.

    Args:
      known: the counts so far, by the text of an equation without the names of its variables. It is added to.
    """
    if equation.primitive.name == "scan":
        body = written_out(equation.params["jaxpr"]).equations
        return equation.params["length"] * sum(_flops(inner.traced, known) for inner in body)
    text = f"{equation.primitive} {equation.params} {[variable.aval for variable in equation.invars]}"
    if text not in known:
        operands = [variable for variable in equation.invars if not isinstance(variable, Literal)]

        def alone(*values: Array) -> Any:
            given = iter(values)
            inputs = [each.val if isinstance(each, Literal) else next(given) for each in equation.invars]
            return equation.primitive.bind(*inputs, **equation.params)

        shapes = [jax.ShapeDtypeStruct(each.aval.shape, each.aval.dtype) for each in operands]
        counted = jax.jit(alone).lower(*shapes).cost_analysis()
        known[text] = float((counted or {}).get("flops", 0))
    return known[text]
