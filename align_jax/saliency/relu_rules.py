"""A model with another rule for the gradient of its ReLUs, without touching its code.

The model is traced to a jaxpr, JAX's own record of its operations. The jaxpr is evaluated as it stands, but for ReLUs:
those become a function of the same value with another gradient. So it does not matter what the model is written in.

A ReLU is `jax.nn.relu` (Linen's and NNX's is the same function), `relu6` below its ceiling, `max(x, 0)`,
`where(x > 0, x, 0)` or `x (x > 0)`, with any comparison with a 0 that is written in the model, also inside of
`jax.jit`, `jax.checkpoint`, `jax.lax.scan` and `jax.lax.cond`. BatchNorm and its like take the maximum of 0 and a
variance, `E[x^2] - E[x]^2`: that is none. A function with a derivative of its own (`jax.custom_jvp`, `jax.custom_vjp`)
keeps it, unless it is a ReLU.

Other activations are known by their names, by operations that only they have, and as `max(x, a x)` or
`where(x > 0, x, a x)`. What is written in yet another way, such as `(x + |x|) / 2`, is not seen and keeps its gradient.
"""

from collections.abc import Callable, Sequence
from typing import Any, NamedTuple

import jax
from jax.extend.core import ClosedJaxpr, Jaxpr, JaxprEqn, Literal
from jaxtyping import Array, Float

from align_jax.saliency.equations import CALLS, CUSTOM_CALLS
from align_jax.saliency.relu_patterns import COMPARISONS, RELU, Node, argument_of_relu, is_leaky_relu
from align_jax.saliency.targets import Outputs
from align_jax.saliency.versions import Model, outputs_of

Rule = Callable[[Float[Array, "..."]], Float[Array, "..."]]

# Names of functions and of JAX's operations that only other activations have. The exponential is not among them: it is
# in every softmax.
OTHER_FUNCTIONS = frozenset(
    (
        *("celu", "elu", "gelu", "glu", "hard_sigmoid", "hard_silu", "hard_swish", "hard_tanh", "leaky_relu"),
        *("log_sigmoid", "mish", "selu", "sigmoid", "silu", "soft_sign", "softplus", "sparse_plus", "sparse_sigmoid"),
        *("squareplus", "swish"),
    )
)
OTHER_OPERATIONS = {
    "erf": "erf, as in GELU",
    "erfc": "erfc, as in GELU",
    "expm1": "expm1, as in ELU",
    "log1p": "log1p, as in softplus",
    "logistic": "logistic, as in sigmoid and SiLU",
    "tanh": "tanh, as it is or in GELU",
}


class _Evaluation(NamedTuple):
    """One evaluation of a jaxpr: the rule for its ReLUs, and what was found."""

    rule: Rule
    relus: list[str]
    method: str


def with_relu_rule(model: Model, rule: Rule, method: str) -> Callable[[Float[Array, "b h w c"]], Outputs]:
    """The model with `rule` in place of each of its ReLUs: the same outputs, and another gradient.

    Args:
      model: image -> outputs, or a cut.
      rule: a function with ReLU's value.
      method: its name, for errors.

    Returns:
      A function of the images. It raises a ValueError if the model has no ReLU, one that is out of reach, or an
      activation that is known not to be one (see above).
    """

    def outputs(image: Float[Array, "b h w c"]) -> Outputs:
        jaxpr, shapes = jax.make_jaxpr(lambda image: outputs_of(model, image), return_shape=True)(image)
        evaluation = _Evaluation(rule, [], method)
        leaves = _evaluate(jaxpr, [Node(image)], evaluation)
        if not evaluation.relus:
            raise ValueError(
                f"{method} changes the gradient of ReLUs, and the model has none: use gradient or "
                "integrated_gradients, or write its ReLUs as jax.nn.relu"
            )
        return jax.tree.unflatten(jax.tree.structure(shapes), [leaf.value for leaf in leaves])

    return outputs


def _evaluate(jaxpr: ClosedJaxpr | Jaxpr, inputs: Sequence[Node], evaluation: _Evaluation) -> list[Node]:
    consts = jaxpr.consts if isinstance(jaxpr, ClosedJaxpr) else []
    inner = jaxpr.jaxpr if isinstance(jaxpr, ClosedJaxpr) else jaxpr
    nodes = dict(zip(inner.constvars, map(Node, consts), strict=True))
    nodes.update(zip(inner.invars, inputs, strict=True))
    read = lambda atom: Node(atom.val, "literal") if isinstance(atom, Literal) else nodes[atom]  # noqa: E731
    for equation in inner.eqns:
        results = _applied(equation, [read(atom) for atom in equation.invars], evaluation)
        nodes.update(zip(equation.outvars, results, strict=True))
    return [read(atom) for atom in inner.outvars]


def _applied(equation: JaxprEqn, inputs: list[Node], evaluation: _Evaluation) -> list[Node]:
    name, params = equation.primitive.name, equation.params
    _refuse_other_activations(equation, inputs, evaluation.method)
    if name in CALLS:
        return _evaluate(params[CALLS[name]], inputs, evaluation)
    # A function with a derivative of its own keeps it, unless it is a ReLU.
    if name in CUSTOM_CALLS and _is_relu(equation, inputs, evaluation):
        return _evaluate(params[CUSTOM_CALLS[name]], inputs, evaluation)
    if name == "scan":
        return _scanned(equation, inputs, evaluation)
    if name == "cond":
        return _chosen(equation, inputs, evaluation)
    argument = argument_of_relu(name, inputs)
    if argument is not None:
        evaluation.relus.append(name)
        return [Node(evaluation.rule(argument.value), RELU, [argument])]
    if name not in CUSTOM_CALLS and _inside(equation, _looks_like_relu):
        raise ValueError(
            f"{evaluation.method} does not reach the ReLU inside of {name}: write the model with jax.jit, jax.lax.scan "
            "or jax.lax.cond around it, or none of them"
        )
    # As jax.core.eval_jaxpr does; in older versions functions come apart from the other parameters.
    bound: Any = equation.primitive.get_bind_params(params)
    functions, params = bound if isinstance(bound, tuple) else ((), bound)
    found = equation.primitive.bind(*functions, *(node.value for node in inputs), **params)
    results = found if equation.primitive.multiple_results else [found]
    return [Node(value, name, inputs) for value in results]


def _is_relu(equation: JaxprEqn, inputs: list[Node], evaluation: _Evaluation) -> bool:
    """Whether a function with a derivative of its own is a ReLU as a whole, as `jax.nn.relu` is, or `relu6`.

    Raises:
      ValueError: it is another function, and has a ReLU or another activation inside.
    """
    if not _inside(equation, _may_have_activation):
        return False
    found = _Evaluation(jax.nn.relu, [], evaluation.method)
    whole: list[bool] = []

    def look() -> list[Any]:
        results = _evaluate(equation.params[CUSTOM_CALLS[equation.primitive.name]], inputs, found)
        parts = [part for node in results for part in (node.inputs if node.operation == "min" else [node])]
        whole.extend(len(results) == 1 and part.operation == RELU and part.inputs[0] in inputs for part in parts)
        return [node.value for node in results]

    jax.eval_shape(look)
    if found.relus and not any(whole):
        raise ValueError(
            f"{evaluation.method} does not change the ReLU inside of a function with a derivative of its own: take the "
            "ReLU out of it, or leave it the derivative that JAX finds"
        )
    return any(whole)


def _other_activation(equation: JaxprEqn) -> str | None:
    """Its name, if the operation or function is part of another activation."""
    name = equation.params.get("name")
    return name if name in OTHER_FUNCTIONS else OTHER_OPERATIONS.get(equation.primitive.name)


def _refuse_other_activations(equation: JaxprEqn, inputs: list[Node], method: str) -> None:
    found = _other_activation(equation)
    if found is None and is_leaky_relu(equation.primitive.name, inputs):
        found = "leaky_relu"
    if found is not None:
        raise ValueError(
            f"{method} is defined for ReLU alone, and the model has {found}: use gradient or integrated_gradients, or "
            "explain outputs before it, such as logits"
        )


def _scanned(equation: JaxprEqn, inputs: list[Node], evaluation: _Evaluation) -> list[Node]:
    params = equation.params
    values = [node.value for node in inputs]
    consts, first = params["num_consts"], params["num_consts"] + params["num_carry"]

    def body(carry: list[Any], items: list[Any]) -> tuple[list[Any], list[Any]]:
        nodes = [Node(value) for value in (*values[:consts], *carry, *items)]
        results = [node.value for node in _evaluate(params["jaxpr"], nodes, evaluation)]
        return results[: params["num_carry"]], results[params["num_carry"] :]

    carry, stacked = jax.lax.scan(
        body, values[consts:first], values[first:], length=params["length"], reverse=params["reverse"]
    )
    return [Node(value) for value in (*carry, *stacked)]


def _chosen(equation: JaxprEqn, inputs: list[Node], evaluation: _Evaluation) -> list[Node]:
    def branch(jaxpr: ClosedJaxpr) -> Callable[..., list[Any]]:
        return lambda *values: [node.value for node in _evaluate(jaxpr, [Node(v) for v in values], evaluation)]

    index, *operands = (node.value for node in inputs)
    return [Node(v) for v in jax.lax.switch(index, [branch(b) for b in equation.params["branches"]], *operands)]


def _may_have_activation(equation: JaxprEqn) -> bool:
    """Whether there is a maximum, a comparison, or another activation."""
    return equation.primitive.name in {"max", *COMPARISONS} or _other_activation(equation) is not None


def _looks_like_relu(equation: JaxprEqn) -> bool:
    """Whether it is a ReLU by its name, or the maximum of 0 and a number of floating point."""
    if equation.primitive.name != "max":
        return equation.params.get("name") in ("relu", "relu6")
    nodes = [Node(atom.val, "literal") for atom in equation.invars if isinstance(atom, Literal)]
    return any(node.is_floating() and node.number() == 0 for node in nodes)


def _inside(equation: JaxprEqn, condition: Callable[[JaxprEqn], bool]) -> bool:
    """Whether the condition holds for an operation inside of this one, however deep."""
    is_jaxpr = lambda leaf: isinstance(leaf, ClosedJaxpr | Jaxpr)  # noqa: E731
    jaxprs = [leaf for leaf in jax.tree.leaves(equation.params, is_leaf=is_jaxpr) if is_jaxpr(leaf)]
    return any(condition(inner) or _inside(inner, condition) for jaxpr in jaxprs for inner in jaxpr.eqns)
