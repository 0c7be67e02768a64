"""Objectives: weighted sums of named terms, with schedules for the weights.

    objective = weighted(
        cls=term(losses.cross_entropy),
        egl=term(losses.alignment, weight=after(1000, 1.0)),
        mine=term(my_loss, weight=0.01),
        watch={"mask_share": my_measure},
    )

A term is any function whose parameters are named after quantities of a forward pass (`logits`, `saliency`, `mask`, ...:
see `forward.ClassifierForward` and `forward.MaskerForward`). It is given exactly those. What no term asks for is never
computed, and what several terms ask for is computed once.
"""

import inspect
from collections.abc import Callable, Mapping
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from align_jax.forward import ClassifierForward, MaskerForward
from align_jax.losses import mean_over_batch

Weight = float | Callable[[Int[Array, ""]], Float[Array, ""]]
Reduction = Callable[[Float[Array, " b"], Int[Array, " b"], int], Float[Array, ""]]


class Mean(NamedTuple):
    """A mean that can be merged with others: sums of totals over sums of examples."""

    total: Float[Array, ""]
    examples: Float[Array, ""]

    def value(self) -> Float[Array, ""]:
        """total / examples."""
        return self.total / self.examples


Metrics = dict[str, Mean]

# The metrics that a step adds to its objective's.
OF_EVERY_STEP = frozenset({"loss", "accuracy", "mask_mean", "gradient_norm"})


def fetch(metrics: Metrics) -> dict[str, float]:
    """The metrics' values on the host, by name; waits for the device to compute them."""
    return {name: float(mean.total / mean.examples) for name, mean in jax.device_get(metrics).items()}


def merge(first: Metrics, second: Metrics) -> Metrics:
    """Two updates' metrics as one: each mean weighs as many examples as it has."""
    merged = dict(first)
    for name, mean in second.items():
        merged[name] = (
            Mean(merged[name].total + mean.total, merged[name].examples + mean.examples) if name in merged else mean
        )
    return merged


class Term(NamedTuple):
    """A weighted term.

    Attributes:
      loss: returns one value per example [b] or, for terms over domains, a scalar.
      weight: a number, or a function of the step.
    """

    loss: Callable[..., Array]
    weight: Weight = 1.0


term = Term  # as objectives read: cls=term(cross_entropy)


def after(start: int, weight: float) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """A schedule: 0 before step `start`, `weight` from there on."""
    return lambda step: jnp.where(step >= start, weight, 0.0)


def ramped(before: Weight, then: Weight, start: int, steps: int) -> Weight:
    """A weight that is `before` until step `start`, and goes linearly to `then`, which it is `steps` later."""
    if before == then:
        return then

    def at(step: Int[Array, ""], weight: Weight) -> Float[Array, ""] | float:
        return weight(step) if callable(weight) else weight

    def weight(step: Int[Array, ""]) -> Float[Array, ""]:
        share = jnp.clip((step - start) / steps, 0.0, 1.0) if steps else jnp.where(step >= start, 1.0, 0.0)
        return (1 - share) * at(step, before) + share * at(step, then)

    return weight


def switch(step: int, before: float, after: float) -> Callable[[Int[Array, ""]], Float[Array, ""]]:
    """A schedule: `before` until `step`, `after` from there on."""
    return lambda now: jnp.where(now >= step, after, before)


class Sizes(NamedTuple):
    """The sizes of the training data that shapes of carried state depend on."""

    num_domains: int
    num_classes: int
    num_groups: int = 1  # pairs of class and group


class Carried(NamedTuple):
    """State that an objective carries from step to step, such as GroupDRO's weights of the domains.

    Attributes:
      initial: from the data's sizes to the value before the first step.
      update: returns the new value. Its parameters name quantities, as a term's do; its own previous value is one of
        them. No gradient passes through it.
    """

    initial: Callable[[Sizes], Array]
    update: Callable[..., Array]


class Objective(NamedTuple):
    """A weighted sum of named terms; made by `weighted`, called inside a loss function.

    Attributes:
      terms: by name.
      reduction: from per-example values to a scalar.
      carried: state that terms may name too; it is updated before they read it.
      watch: functions like terms' losses, which are only metrics.
    """

    terms: Mapping[str, Term]
    reduction: Reduction = mean_over_batch
    carried: Mapping[str, Carried] = {}
    watch: Mapping[str, Callable[..., Array]] = {}

    def __call__(
        self,
        quantities: ClassifierForward | MaskerForward,
        step: Int[Array, ""],
        carried: Mapping[str, Array] | None = None,
    ) -> tuple[Float[Array, ""], Metrics, dict[str, Array]]:
        """`sum_t weight_t(step) * reduce(term_t)`, each term's unweighted value as a metric, and the new carried state.

        Terms whose weight is the number 0 are not evaluated and have no metric.

        Raises:
          ValueError: a term asks for a quantity that the forward pass does not have.
        """
        carried = dict(carried or {})
        for name, (_, update) in self.carried.items():
            carried[name] = jax.lax.stop_gradient(update(**_arguments(name, update, quantities, carried)))
        examples = quantities.label.shape[0]

        def reduced(name: str, function: Callable[..., Array]) -> Float[Array, ""]:
            arguments = _arguments(name, function, quantities, carried)
            with jax.named_scope(name):  # without the quantities, which several terms may share
                values = function(**arguments).astype(jnp.float32)
                return self.reduction(values, quantities.label, quantities.num_classes) if values.ndim else values

        loss, metrics = jnp.zeros((), jnp.float32), {}
        for name, (function, weight) in self.terms.items():
            if not callable(weight) and weight == 0:
                continue
            value = reduced(name, function)
            metrics[name] = Mean(value * examples, jnp.float32(examples))
            loss += (weight(step) if callable(weight) else weight) * value
        for name, function in self.watch.items():
            metrics[name] = Mean(jax.lax.stop_gradient(reduced(name, function)) * examples, jnp.float32(examples))
        metrics["loss"] = Mean(loss * examples, jnp.float32(examples))
        return loss, metrics, carried

    def initial_carried(self, sizes: Sizes) -> dict[str, Array]:
        """The carried state before the first step."""
        return {name: carried.initial(sizes) for name, carried in self.carried.items()}

    def asks_for(self, quantity: str) -> bool:
        """Whether a term, carried state or a watched function asks for a quantity of the forward pass."""
        functions = [loss for loss, weight in self.terms.values() if callable(weight) or weight != 0]
        functions += [*(update for _, update in self.carried.values()), *self.watch.values()]
        return any(quantity in inspect.signature(function).parameters for function in functions)

    def ramped(self, before: "Objective", start: int, steps: int) -> "Objective":
        """The objective with another one's weights until step `start`, and its own `steps` later; see `ramped`.

        A term that only one of the two has weighs 0 in the other.
        """
        return self._replace(
            terms={
                name: Term(
                    found.loss,
                    ramped(
                        before.terms[name].weight if name in before.terms else 0.0,
                        self.terms[name].weight if name in self.terms else 0.0,
                        start,
                        steps,
                    ),
                )
                for name, found in {**before.terms, **self.terms}.items()
            }
        )

    def without(self, *names: str) -> "Objective":
        """The objective without the named terms or watched functions: they are not in the program at all.

        Carried state that is named is no longer updated; terms may still read it.
        """
        return self._replace(
            terms={name: term for name, term in self.terms.items() if name not in names},
            carried={name: carried for name, carried in self.carried.items() if name not in names},
            watch={name: function for name, function in self.watch.items() if name not in names},
        )


def weighted(
    *,
    reduction: Reduction = mean_over_batch,
    carried: Mapping[str, Carried] | None = None,
    watch: Mapping[str, Callable[..., Array]] | None = None,
    **terms: Term,
) -> Objective:
    """An objective from named terms.

    Args:
      reduction: from per-example values to a scalar: `losses.mean_over_batch` or `losses.mean_over_classes`.
      carried: state that is kept from step to step, by the name under which terms read it.
      watch: functions that are logged and not trained on, by the metric's name. Like terms' losses they return one
        value per example [b] or a scalar, and may read carried state. Their values must be finite: training takes a
        metric that is not finite for divergence, and stops.
      **terms: `name=term(loss, weight)`.

    Raises:
      ValueError: two metrics would have the same name.
    """
    watch = watch or {}
    for name in (*terms, *watch):
        if name in OF_EVERY_STEP or (name in terms and name in watch):
            raise ValueError(
                f"{name!r} would name two metrics; give each term and each watched function a name of its own, and "
                f"none of {', '.join(sorted(OF_EVERY_STEP))}."
            )
    return Objective(terms, reduction, carried or {}, watch)


def _arguments(
    name: str,
    function: Callable[..., Array],
    quantities: ClassifierForward | MaskerForward,
    carried: Mapping[str, Array],
) -> dict[str, Any]:
    valid, unavailable = quantities.names() | carried.keys(), quantities.unavailable()
    arguments = {}
    for parameter in inspect.signature(function).parameters.values():
        if parameter.name in carried:
            arguments[parameter.name] = carried[parameter.name]
        elif parameter.name in valid:
            arguments[parameter.name] = getattr(quantities, parameter.name)
        elif parameter.default is inspect.Parameter.empty and parameter.name in unavailable:
            raise ValueError(
                f"The objective's {name!r} asks for {parameter.name!r}, but {unavailable[parameter.name]}, or leave "
                f"{name!r} out: objective.without({name!r})."
            )
        elif parameter.default is inspect.Parameter.empty:
            raise ValueError(
                f"The objective's {name!r} asks for {parameter.name!r}, which this forward pass does not have; "
                f"it has {', '.join(sorted(valid))}."
            )
    return arguments
