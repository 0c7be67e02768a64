"""What a ReLU looks like in a traced program, and what a leaky one looks like."""

from collections.abc import Sequence
from typing import Any, NamedTuple

import jax.numpy as jnp

COMPARISONS = frozenset(["ge", "gt", "le", "lt"])
# What a value came from is kept for these alone: they tell a ReLU from other maxima, choices and products. `RELU` is
# the mark of what was found to be one.
RELU = "relu"
REMEMBERED = COMPARISONS | {
    *("broadcast_in_dim", "convert_element_type", "div", "integer_pow", "min", "mul", "not", "square", "sub", RELU),
}


class Node:
    """A value of the program, and the operation that it came from. Nodes are compared by identity."""

    def __init__(self, value: Any, operation: str = "", inputs: Sequence["Node"] = ()) -> None:
        # Of the choices, only those between numbers are of use: x * where(x > 0, 1, 0).
        numbers = operation == "select_n" and all(node.number() is not None for node in inputs[1:])
        self.value = value
        self.operation = operation
        self.inputs = tuple(inputs) if operation in REMEMBERED or numbers else ()

    def number(self) -> Any:
        """The number of the program's text that it is, in any type and shape, or None."""
        if self.operation in ("broadcast_in_dim", "convert_element_type"):
            return self.inputs[0].number()
        return self.value if self.operation == "literal" and jnp.ndim(self.value) == 0 else None

    def source(self) -> "Node":
        """Itself, before it was converted from one type of floating point to another."""
        if self.operation == "convert_element_type" and self.is_floating() and self.inputs[0].is_floating():
            return self.inputs[0].source()
        return self

    def is_floating(self) -> bool:
        """Whether its type is one of floating point."""
        return jnp.issubdtype(jnp.result_type(self.value), jnp.floating)

    def is_variance(self) -> bool:
        """Whether it is `a - b^2`."""
        if self.operation != "sub":
            return False
        subtracted = self.inputs[1]
        squared = subtracted.operation == "mul" and subtracted.inputs[0] is subtracted.inputs[1]
        return squared or subtracted.operation in ("square", "integer_pow")

    def is_multiple(self, x: "Node") -> bool:
        """Whether it is `a x` or `x / a`."""
        node = self.source()
        if node.operation == "div":
            return node.inputs[0].source() is x
        return node.operation == "mul" and [factor.source() is x for factor in node.inputs].count(True) == 1


class _Choice(NamedTuple):
    """What is taken where x is positive, and where it is negative: values, or factors of x."""

    x: Node
    opened: Any
    closed: Any


def argument_of_relu(name: str, inputs: Sequence[Node]) -> Node | None:
    """x, if the operation is a ReLU of x: `max(x, 0)`, `where(x > 0, x, 0)` or `x (x > 0)`."""
    found = None
    if name == "max":
        found = next((x for x, other in _both_ways(inputs) if _is(other.number(), 0)), None)
    elif choice := _choice(name, inputs):
        found = choice.opened if choice.opened.source() is choice.x and _is(choice.closed.number(), 0) else None
    elif name == "mul":
        gates = ((x, _factors(other)) for x, other in _both_ways(inputs))
        found = next((x for x, gate in gates if gate and gate == (x.source(), 1, 0)), None)
    return found if found is not None and found.is_floating() and not found.is_variance() else None


def is_leaky_relu(name: str, inputs: Sequence[Node]) -> bool:
    """Whether the operation is `max(x, a x)`, `where(x > 0, x, a x)` or `x where(x > 0, 1, a)`, with any two slopes."""
    if name == "max":
        return any(x.is_floating() and other.is_multiple(x.source()) for x, other in _both_ways(inputs))
    if choice := _choice(name, inputs):
        slopes = [part.is_multiple(choice.x) for part in (choice.opened, choice.closed)]
        same = [part.source() is choice.x for part in (choice.opened, choice.closed)]
        return any(slopes) and all(one or other for one, other in zip(slopes, same, strict=True))
    if name == "mul":
        gates = ((x, _factors(other)) for x, other in _both_ways(inputs))
        return any(
            gate and gate.x is x.source() and None not in gate and gate.opened * gate.closed > 0 for x, gate in gates
        )
    return False


def _both_ways(inputs: Sequence[Node]) -> tuple[Sequence[Node], Sequence[Node]]:
    return inputs, inputs[::-1]


def _is(number: Any, expected: int) -> bool:
    return number is not None and bool(number == expected)


def _sign(mask: Node) -> tuple[Node, bool] | None:
    """x, and whether the mask is true where x is positive, if it compares x with 0."""
    if mask.operation == "not":
        found = _sign(mask.inputs[0])
        return found and (found[0], not found[1])
    if mask.operation in COMPARISONS:
        left, right = mask.inputs
        if _is(right.number(), 0):
            return left.source(), mask.operation in ("ge", "gt")
        if _is(left.number(), 0):
            return right.source(), mask.operation in ("le", "lt")
    return None


def _choice(name: str, inputs: Sequence[Node]) -> _Choice | None:
    """The two values that `where` chooses from by the sign of x."""
    sign = _sign(inputs[0]) if name == "select_n" and len(inputs) == 3 else None
    if sign is None:
        return None
    return _Choice(sign[0], inputs[2], inputs[1]) if sign[1] else _Choice(sign[0], inputs[1], inputs[2])


def _factors(node: Node) -> _Choice | None:
    """The two numbers that a factor made of the sign of x takes."""
    if node.operation == "convert_element_type":
        sign = _sign(node.inputs[0])
        return _Choice(sign[0], int(sign[1]), int(not sign[1])) if sign else _factors(node.inputs[0])
    choice = _choice(node.operation, node.inputs)
    return choice and _Choice(choice.x, choice.opened.number(), choice.closed.number())
