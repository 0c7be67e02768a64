"""Whether a model reads the patches at all, found from its traced program without running it.

Behind the last block of a vision transformer only the class token is read. The gradient of the patches is zero there,
and so is every map. A program's shapes alone do not show it: patches and class token lie in one array. So each array
has a table of which of its places depend on the patches. An axis along which the table is constant has length 1 in it.
"""

from collections.abc import Callable
from typing import Any

import numpy as np
from jax.extend.core import ClosedJaxpr

from align_jax.saliency.equations import Equation, written_out

# Each place of the result is a function of the same place of the operands.
ELEMENTWISE = frozenset(
    """
    abs acos acosh add add_any and asin asinh atan atan2 atanh cbrt ceil clamp convert_element_type copy cos cosh
    div eq erf erf_inv erfc exp exp2 expm1 floor ge gt integer_pow is_finite le log log1p logistic lt max min mul
    name ne neg nextafter not or pow reduce_precision rem round rsqrt select_n sharding_constraint sign sin sinh
    sqrt square stop_gradient sub tan tanh xor
    """.split()  # noqa: SIM905
)
REDUCTIONS = frozenset(f"reduce_{name}" for name in ("and", "max", "min", "or", "prod", "sum"))
Table = Any  # an array of bool


def reads_last_input(program: ClosedJaxpr) -> bool:
    """Whether a place of some output may depend on the program's last input. What is not known counts as read."""
    written = written_out(program)
    tables: dict[int, Table] = {written.inputs[-1]: np.ones((1,) * program.jaxpr.invars[-1].aval.ndim, bool)}
    for equation in written.equations:
        operands = [None if number is None else tables.get(number) for number in equation.reads]
        if any(table is not None and table.any() for table in operands):
            shapes = [variable.aval.shape for variable in equation.traced.outvars]
            tables |= dict(zip(equation.writes, _results(equation, operands, shapes), strict=True))
    results = [tables.get(number) for number in written.outputs if number is not None]
    return any(table is not None and bool(table.any()) for table in results)


def _results(equation: Equation, operands: list[Table | None], shapes: list[tuple[int, ...]]) -> list[Table]:
    everywhere = [np.ones((1,) * len(shape), bool) for shape in shapes]
    if equation.name == "optimization_barrier":
        return [~every if table is None else table for table, every in zip(operands, everywhere, strict=True)]
    filled = [
        np.zeros((1,) * np.ndim(variable.aval), bool) if table is None else table
        for variable, table in zip(equation.traced.invars, operands, strict=True)
    ]
    parameters = equation.traced.params
    if equation.name in ELEMENTWISE and len(shapes) == 1:
        return [_compressed(np.logical_or.reduce(np.broadcast_arrays(*filled)))]
    if equation.name in REDUCTIONS and len(shapes) == 1:
        return [filled[0].any(tuple(parameters["axes"]))]
    if rule := RULES.get(equation.name):
        sizes = [variable.aval.shape for variable in equation.traced.invars]
        return [_compressed(rule(filled, sizes, shapes[0], parameters))]
    return everywhere


def _compressed(table: Table) -> Table:
    for axis in range(table.ndim):
        first = table.take([0], axis)
        table = first if (table == first).all() else table
    return table


def _broadcast(operands: list[Table], sizes: Any, shape: tuple[int, ...], parameters: dict[str, Any]) -> Table:
    lengths = np.ones(len(shape), int)
    lengths[list(parameters["broadcast_dimensions"])] = operands[0].shape
    return operands[0].reshape(lengths)


def _reshape(operands: list[Table], sizes: Any, shape: tuple[int, ...], parameters: dict[str, Any]) -> Table:
    if operands[0].size == 1:
        return operands[0].reshape((1,) * len(shape))
    return np.broadcast_to(operands[0], sizes[0]).reshape(shape)


def _slice(operands: list[Table], sizes: Any, shape: tuple[int, ...], parameters: dict[str, Any]) -> Table:
    strides = parameters["strides"] or (1,) * len(shape)
    bounds = zip(parameters["start_indices"], parameters["limit_indices"], strides, strict=True)
    return np.broadcast_to(operands[0], sizes[0])[tuple(slice(*bound) for bound in bounds)]


def _concatenate(operands: list[Table], sizes: Any, shape: tuple[int, ...], parameters: dict[str, Any]) -> Table:
    axis = parameters["dimension"]
    others = np.broadcast_shapes(*[np.delete(table.shape, axis) for table in operands])
    parts = [
        np.broadcast_to(table, np.insert(others, axis, size[axis])) for table, size in zip(operands, sizes, strict=True)
    ]
    return np.concatenate(parts, axis)


def _dot(operands: list[Table], sizes: Any, shape: tuple[int, ...], parameters: dict[str, Any]) -> Table:
    """A place of a product depends on its row of the one factor and on its column of the other."""
    contracted, batch = parameters["dimension_numbers"]
    reordered = []
    for table, sums, batches in zip(operands, contracted, batch, strict=True):
        free = [axis for axis in range(table.ndim) if axis not in (*sums, *batches)]
        summed = table.any(tuple(sums), keepdims=True).transpose(*batches, *free, *sums)
        reordered.append((summed.reshape(summed.shape[: len(batches) + len(free)]), len(free)))
    (left, left_free), (right, right_free) = reordered
    start = len(batch[0])
    left = left.reshape(left.shape + (1,) * right_free)
    right = right.reshape(right.shape[:start] + (1,) * left_free + right.shape[start:])
    return left | right


Rule = Callable[[list[Table], Any, tuple[int, ...], dict[str, Any]], Table]
RULES: dict[str, Rule] = {
    "broadcast_in_dim": _broadcast,
    "concatenate": _concatenate,
    "dot_general": _dot,
    "reshape": _reshape,
    "slice": _slice,
    "squeeze": lambda operands, sizes, shape, parameters: operands[0].squeeze(tuple(parameters["dimensions"])),
    "transpose": lambda operands, sizes, shape, parameters: operands[0].transpose(parameters["permutation"]),
}
