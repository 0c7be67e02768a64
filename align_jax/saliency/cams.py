"""Class activation maps: the features A of a layer, weighted by the gradient of the head.

Phi in the paper is Grad-CAM of the label's logit. Every map here is computed from the gradient G = d score / d A of the
*head* alone. So a loss on it needs no second backward pass through the backbone, and stays first order in the
backbone's parameters. Maps are raw: before ReLU and normalisation, on the layer's grid. `display.shown` shows them.

All of them take a model that is cut behind a layer (`cut`) and images; or a head, and features in place of images.
"""

from collections.abc import Callable
from typing import Literal, get_args

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from align_jax.saliency.cut import Cut, Features, Head, split
from align_jax.saliency.targets import (
    Classes,
    Outputs,
    Target,
    class_outputs,
    classes_of,
    each_class,
    log_probability,
    predicted,
    score,
)

ExplainedScore = Literal["logit", "log_probability"]
Alpha = Literal["differentiated", "constant"]
Map = Float[Array, "b *m u v"]


def grad_cam(
    model: Cut | Head,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    alpha: Alpha = "differentiated",
    explained: ExplainedScore = "logit",
) -> Map:
    """Grad-CAM before ReLU and normalisation: `sum_k alpha_k A_k`, `alpha_k = mean_hw d logit_y / d A_k`.

    Args:
      model: a cut and `image`; or a head, from the last convolutional map to logits, and in place of `image` the map A
        that Grad-CAM reads. Each example's logits depend on its own features alone.
      image: the images, or the features.
      target: the class whose logit is explained, or another number of the outputs (see `targets`).
      alpha: whether a loss on the map is differentiated through the channel weights (`differentiated`), or takes them
        as constants (`constant`, as DRE's published code does). The values are the same, the gradients are not.
      explained: `logit`, or `log_probability`: d log p_y instead of d logit_y. Evidence for the other classes then
        counts against the label; the label's logit alone does not show it. The map shrinks with its gradient as p_y
        nears 1.

    Returns:
      The raw map in float32, unbounded and signed; m maps an image if the target has m classes an image.

    Raises:
      ValueError: a label outside 0 ... k - 1 (inside `jax.jit` its map is NaN instead, see `labels`), an unknown word,
        or shapes that do not fit.
      TypeError: a target of another type.

    Source: Selvaraju et al. 2017, eq. 1-2; ALIGN, "Classifier objective"; alpha: decision of this project;
      log_probability: beyond the paper.
    """
    if alpha not in get_args(Alpha):
        raise ValueError(f"unknown alpha {alpha!r}: choose one of {', '.join(get_args(Alpha))}")

    def weighted(features: Features, gradient: Features) -> Float[Array, "b u v"]:
        weights = gradient.mean((1, 2))
        if alpha == "constant":
            weights = jax.lax.stop_gradient(weights)
        return jnp.einsum("bhwc,bc->bhw", features, weights, precision="highest")

    return _maps(weighted, model, image, target, explained)


def hires_cam(model: Cut | Head, image: Float[Array, "b h w c"], target: Target = "predicted") -> Map:
    """HiResCAM: `sum_k G_k A_k`, each cell weighted by its own gradient.

    Where the head is a spatial mean and a linear layer, the cells sum to the logit less the bias.
    Arguments and errors as in `grad_cam`.

    Source: Draelos and Carin 2020, eq. 5.
    """
    return _maps(lambda features, gradient: (gradient * features).sum(-1), model, image, target)


def layer_cam(model: Cut | Head, image: Float[Array, "b h w c"], target: Target = "predicted") -> Map:
    """LayerCAM: `sum_k relu(G_k) A_k`; at early layers, too, it shows single cells. Arguments as in `grad_cam`.

    Source: Jiang et al. 2021, eq. 4-5.
    """
    return _maps(lambda features, gradient: (jax.nn.relu(gradient) * features).sum(-1), model, image, target)


def element_wise_cam(model: Cut | Head, image: Float[Array, "b h w c"], target: Target = "predicted") -> Map:
    """Grad-CAM element by element: `sum_k relu(G_k A_k)`; it is never negative. Arguments as in `grad_cam`.

    Source: pytorch-grad-cam's GradCAMElementWise, which has no paper.
    """
    return _maps(lambda features, gradient: jax.nn.relu(gradient * features).sum(-1), model, image, target)


def grad_cam_plus_plus(model: Cut | Head, image: Float[Array, "b h w c"], target: Target = "predicted") -> Map:
    """Grad-CAM++ before ReLU: `sum_k w_k A_k`, `w_k = sum_hw alpha_k relu(G_k)`,
    `alpha_k = G_k^2 / (2 G_k^2 + (sum_hw A_k) G_k^3 + 1e-6)`, and 0 where G_k is 0.

    Only a layer whose values may be negative, such as a convolution's, has a map with negative cells. Arguments as in
    `grad_cam`.

    Source: Chattopadhay et al. 2018, eq. 19, for a score inside an exponential; the 1e-6 is pytorch-grad-cam's.
    """

    def weighted(features: Features, gradient: Features) -> Float[Array, "b u v"]:
        total = features.sum((1, 2), keepdims=True)
        divisor = 2 * gradient**2 + total * gradient**3 + 1e-6
        share = jnp.where(gradient == 0, 0.0, gradient**2 / jnp.where(divisor == 0, 1.0, divisor))
        weights = (share * jax.nn.relu(gradient)).sum((1, 2))
        return jnp.einsum("bhwc,bc->bhw", features, weights, precision="highest")

    return _maps(weighted, model, image, target)


def evidence(head: Head, features: Features, alpha: Alpha = "differentiated") -> Float[Array, "b k h w"]:
    """Each logit's raw `grad_cam`, less the mean over the logits: what a cell says about every class.

    A softmax reads only differences of logits. Where the head is a mean and a linear layer, the cells of a map sum to
    the logit less the bias.

    Args:
      head, features, alpha: as in `grad_cam`.

    Source: beyond the paper.
    """
    examples, classes = jax.eval_shape(head, features).shape

    def of_class(number: Int[Array, ""]) -> Float[Array, "b h w"]:
        return grad_cam(head, features, jnp.full(examples, number), alpha)

    maps = jax.vmap(of_class, out_axes=1)(jnp.arange(classes))
    return maps - maps.mean(1, keepdims=True)


def _maps(
    combined: Callable[[Features, Features], Float[Array, "b u v"]],
    model: Cut | Head,
    image: Float[Array, "b h w c"],
    target: Target,
    explained: ExplainedScore = "logit",
) -> Map:
    """The maps `combined(A, G)` in float32, one for each class of the target, from one pass to the features."""
    features, head = split(model, image)
    classes = classes_of(target, features.shape[0])
    if explained not in get_args(ExplainedScore):
        raise ValueError(f"unknown explained {explained!r}: choose one of {', '.join(get_args(ExplainedScore))}")
    if explained == "log_probability" and callable(classes):
        raise ValueError('explained="log_probability" needs classes as the target, not a function')

    def of_class(classes: Classes) -> Float[Array, "b u v"]:
        def explain(outputs: Outputs) -> Float[Array, " b"]:
            if explained == "logit" or callable(classes):
                return score(outputs, classes)
            label = predicted(class_outputs(outputs)) if isinstance(classes, str) else classes
            return log_probability(label)(outputs)

        # The sum over the batch gives every example its own gradient, since no example reads another's features.
        gradient = jax.grad(lambda features: explain(head(features)).sum())(features)
        return combined(features.astype(jnp.float32), gradient.astype(jnp.float32))

    return each_class(of_class, classes, lambda: head(features))
