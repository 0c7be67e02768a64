"""A traced program as one list of equations: calls are written out, so that one sees what depends on what."""

from typing import Any, NamedTuple

from jax.extend.core import ClosedJaxpr, Jaxpr, Literal

# What only calls another program, and the name of the parameter that holds it.
CALLS = {"jit": "jaxpr", "checkpoint": "jaxpr", "remat2": "jaxpr", "closed_call": "call_jaxpr"}
# The same of calls that have a derivative of their own.
CUSTOM_CALLS = {"custom_jvp_call": "call_jaxpr", "custom_vjp_call": "call_jaxpr"}


class Equation(NamedTuple):
    """One equation, and the numbers of the variables that it reads and writes; None stands for a literal."""

    traced: Any
    reads: tuple[int | None, ...]
    writes: tuple[int, ...]

    @property
    def name(self) -> str:
        """The primitive's."""
        return self.traced.primitive.name


class Program(NamedTuple):
    """A program without calls: a variable is a number, and every number is written once."""

    inputs: tuple[int, ...]
    equations: tuple[Equation, ...]
    outputs: tuple[int | None, ...]


def written_out(program: ClosedJaxpr) -> Program:
    """The program of `jax.make_jaxpr` or of `jax.jit(f).trace(...)`. Loops and branches stay one equation each."""
    equations: list[Equation] = []
    known = iter(range(10**12))

    def walk(jaxpr: Jaxpr, inputs: tuple[int | None, ...]) -> tuple[int | None, ...]:
        numbers: dict[Any, int | None] = dict(zip(jaxpr.invars, inputs, strict=True))
        numbers |= {variable: next(known) for variable in jaxpr.constvars}

        def read(variables: list[Any]) -> tuple[int | None, ...]:
            return tuple(None if isinstance(variable, Literal) else numbers[variable] for variable in variables)

        for equation in jaxpr.eqns:
            called = _called(equation)
            if called is not None:
                results = walk(called, read(equation.invars))
                numbers |= dict(zip(equation.outvars, results, strict=True))
            else:
                writes = tuple(next(known) for _ in equation.outvars)
                numbers |= dict(zip(equation.outvars, writes, strict=True))
                equations.append(Equation(equation, read(equation.invars), writes))
        return read(jaxpr.outvars)

    inputs = tuple(next(known) for _ in program.jaxpr.invars)
    outputs = walk(program.jaxpr, inputs)
    return Program(inputs, tuple(equations), outputs)


def _called(equation: Any) -> Jaxpr | None:
    name = (CALLS | CUSTOM_CALLS).get(equation.primitive.name)
    called = equation.params.get(name)
    return called.jaxpr if isinstance(called, ClosedJaxpr) else called
