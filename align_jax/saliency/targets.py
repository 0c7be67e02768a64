"""Targets: which number of the model's outputs is explained.

A target is one of

    "predicted"                     the class with the largest output of each image
    an int                          this class, of every image
    an integer array [b]            a class for each image
    an integer array [b m]          m classes for each image: there are m maps
    a function, outputs -> [b]      anything else: a log-probability, a margin between classes, a region

Source: beyond the paper.
"""

from collections.abc import Callable
from typing import Any, Literal, TypeVar

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped

from align_jax.labels import check_labels, of_label

Outputs = Any
Score = Callable[[Outputs], Float[Array, " b"]]
Target = Literal["predicted"] | int | Int[Array, " b"] | Int[Array, "b m"] | Score
# A target after `classes_of`, with one class an image.
Classes = Literal["predicted"] | Score | Int[Array, " b"]


def log_probability(label: int | Int[Array, " b"]) -> Score:
    """log p_y as a target: evidence for the other classes counts against the label; its logit alone does not show it.

    log p_y = -log(1 + exp(others - logit_y)). Unlike `log_softmax`, whose gradient is 1 - p_y, this keeps its digits as
    p_y nears 1.

    Args:
      label: the class, or one for each image.
    """

    def log_p(logits: Outputs) -> Float[Array, " b"]:
        logits = class_outputs(logits).astype(jnp.float32)
        chosen = jnp.broadcast_to(jnp.asarray(label), logits.shape[:1])
        of_others = jnp.where(chosen[:, None] == jnp.arange(logits.shape[1]), -1e30, logits)
        return -jax.nn.softplus(jax.nn.logsumexp(of_others, axis=1) - of_label(logits, chosen))

    return log_p


def margin(label: int | Int[Array, " b"], other: int | Int[Array, " b"]) -> Score:
    """logit_label - logit_other as a target: what speaks for one class rather than for another."""

    def difference(logits: Outputs) -> Float[Array, " b"]:
        logits = class_outputs(logits).astype(jnp.float32)
        first, second = (jnp.broadcast_to(jnp.asarray(of), logits.shape[:1]) for of in (label, other))
        return of_label(logits, first) - of_label(logits, second)

    return difference


def classes_of(target: Target, images: int) -> Literal["predicted"] | Score | Int[Array, "b *m"]:
    """The target with classes as an array of b rows; "predicted" and functions as they are.

    Args:
      target: see the head of this file.
      images: b.

    Raises:
      TypeError: a target that is none of these, such as classes in floating point.
      ValueError: an unknown word, or an array whose shape is neither [b] nor [b m].
    """
    if callable(target):
        return target
    if isinstance(target, str):
        if target != "predicted":
            raise ValueError(f'unknown target {target!r}: choose "predicted", classes, or a function of the outputs')
        return "predicted"
    classes = jnp.asarray(target)
    if not jnp.issubdtype(classes.dtype, jnp.integer):
        raise TypeError(f"a target of type {classes.dtype} is no class: give integers, such as target.astype('int32')")
    if classes.ndim == 0:
        classes = jnp.broadcast_to(classes, (images,))
    if classes.ndim > 2 or classes.shape[0] != images:
        raise ValueError(
            f"a target of shape {list(classes.shape)} does not fit {images} images: give one class, [{images}], or "
            f"[{images}, m] for m maps of each image"
        )
    return classes


def one_class(target: Target, images: int) -> Classes:
    """As `classes_of`, for metrics, which score one map of each image.

    Raises:
      TypeError, ValueError: as `classes_of`; and for several classes an image.
    """
    classes = classes_of(target, images)
    if not callable(classes) and not isinstance(classes, str) and classes.ndim != 1:
        raise ValueError(
            f"a target of shape {list(classes.shape)} has several classes an image, and a metric takes one: give "
            "target[:, 0], and so on"
        )
    return classes


def score(outputs: Outputs, target: Classes) -> Float[Array, " b"]:
    """What is explained of each image: a number, in float32.

    The predicted class is found from these outputs; of equal ones it is the first. No gradient goes through its choice.

    Args:
      outputs: the model's; [b k] unless the target is a function.
      target: as `classes_of` returns it, with one class an image.

    Raises:
      ValueError: a class outside 0 ... k - 1 (inside `jax.jit` its score is NaN instead, see `labels`), outputs that
        are not [b k], or a function that does not return one number an image.
    """
    if callable(target):
        values = target(outputs)
        if getattr(values, "ndim", None) != 1:
            raise ValueError(
                f"the target function returned the shape {list(np.shape(values))}: it must return one number an image"
            )
        return values.astype(jnp.float32)
    logits = class_outputs(outputs)
    label = predicted(logits) if isinstance(target, str) else target
    return of_label(logits.astype(jnp.float32), label)


def predicted(logits: Float[Array, "b k"]) -> Int[Array, " b"]:
    """The class with the largest output; of equal ones the first."""
    return jnp.argmax(jax.lax.stop_gradient(logits), axis=-1)


def class_outputs(outputs: Outputs) -> Shaped[Array, "b k"]:
    """The outputs, if they are [b k].

    Raises:
      ValueError: they are not.
    """
    if not hasattr(outputs, "ndim"):
        kind = type(outputs).__name__
        raise ValueError(f"the model returns a {kind}: choose its logits, such as outputs=0 of cut_linen")
    if outputs.ndim != 2:
        raise ValueError(
            f"the model's outputs have the shape {list(outputs.shape)}, and classes need [b k]: give a function "
            "outputs -> [b] as the target"
        )
    return outputs


def fixed(target: Target, images: int, outputs: Callable[[], Outputs]) -> Score | Int[Array, "b *m"]:
    """The target with the predicted class found once, for methods that look at other versions of the image too.

    Args:
      target: see the head of this file.
      images: b.
      outputs: of the images as they are; called only for "predicted".

    Raises:
      TypeError, ValueError: as `classes_of` and `class_outputs`.
    """
    classes = classes_of(target, images)
    return predicted(class_outputs(outputs())) if isinstance(classes, str) else classes


Result = TypeVar("Result", bound=Array)


def each_class(
    compute: Callable[[Classes], Result],
    target: Literal["predicted"] | Score | Int[Array, "b *m"],
    outputs: Callable[[], Outputs],
) -> Result:
    """`compute(target)`; for a target of m classes an image, what it returns for each of them, stacked on axis 1.

    Args:
      compute: from a target with one class an image to an array [b ...].
      target: as `classes_of` returns it.
      outputs: the model's, for their shape alone.

    Raises:
      ValueError: one of m classes lies outside 0 ... k - 1, and its value is known.
    """
    if callable(target) or isinstance(target, str) or target.ndim == 1:
        return compute(target)
    if not isinstance(target, jax.core.Tracer):  # inside of `vmap` its values are hidden
        check_labels(np.asarray(target), jax.eval_shape(lambda: class_outputs(outputs())).shape[1])
    return jax.vmap(compute, in_axes=1, out_axes=1)(target)
