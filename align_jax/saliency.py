"""Attribution maps as pure, differentiable functions of (head, features).

Phi in the paper is Grad-CAM of the label's logit. It is computed from the gradient of the *head* alone, so a loss on
it needs no second backward pass through the backbone and stays first order in the backbone's parameters.
"""

from collections.abc import Callable
from typing import Literal

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Int

from align_jax.labels import of_label

Head = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]
ExplainedScore = Literal["logit", "log_probability"]

# A map whose range is below this share of its largest absolute value is flat: what differs is rounding. It becomes
# zeros, with zero gradient; otherwise the gradient of a nearly constant map would have no bound.
FLAT = 1e-6
# So does a map whose values are all below 2 to this power (1e-25), whose gradient float32 could not hold.
SMALLEST_EXPONENT = -83
# Maps are multiplied by 2 to minus this power at the least: devices take smaller numbers for zero.
LARGEST_EXPONENT = 126


def grad_cam(
    head: Head,
    features: Float[Array, "b h w c"],
    label: Int[Array, " b"],
    alpha: Literal["differentiated", "constant"] = "differentiated",
    explained: ExplainedScore = "logit",
) -> Float[Array, "b h w"]:
    """Grad-CAM before ReLU and normalisation: `sum_k alpha_k A_k`, `alpha_k = mean_hw d logit_y / d A_k`.

    Args:
      head: from the last convolutional map to logits; each example's logits depend on its own features alone.
      features: the map A that Grad-CAM reads.
      label: the class whose logit is explained.
      alpha: whether a loss on the map is differentiated through the channel weights (`differentiated`), or takes them
        as constants (`constant`, as DRE's published code does). The values are the same, the gradients are not.
      explained: `logit`, or `log_probability`: d log p_y instead of d logit_y. Evidence for the other classes then
        counts against the label; the label's logit alone does not show it. The map shrinks with its gradient as p_y
        nears 1.

    Returns:
      The raw map in float32, unbounded and signed.

    Raises:
      ValueError: a label outside 0 ... k - 1; inside `jax.jit` its map is NaN instead (see `labels`).

    Source: Selvaraju et al. 2017, eq. 1-2; ALIGN, "Classifier objective"; alpha: decision of this project;
      log_probability: beyond the paper.
    """

    def label_scores(features: Float[Array, "b h w c"]) -> Float[Array, ""]:
        scores = head(features).astype(jnp.float32)
        score = of_label(scores, label)
        if explained == "log_probability":
            # log p_y = -log(1 + exp(others - score_y)). Unlike log_softmax, whose gradient is 1 - p_y, this keeps its
            # digits as p_y nears 1.
            of_others = jnp.where(label[:, None] == jnp.arange(scores.shape[1]), -1e30, scores)
            score = -jax.nn.softplus(jax.nn.logsumexp(of_others, axis=1) - score)
        return score.sum()

    # The sum over the batch gives every example its own gradient, since no example reads another's features.
    weights = jax.grad(label_scores)(features).astype(jnp.float32).mean((1, 2))
    if alpha == "constant":
        weights = jax.lax.stop_gradient(weights)
    return jnp.einsum("bhwc,bc->bhw", features.astype(jnp.float32), weights)


def evidence(
    head: Head, features: Float[Array, "b h w c"], alpha: Literal["differentiated", "constant"] = "differentiated"
) -> Float[Array, "b k h w"]:
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


def _on_unit_scale(saliency: Float[Array, "b h w"]) -> tuple[Float[Array, "b h w"], Float[Array, "b 1 1"]]:
    """The map times a power of two, which loses no digit, and its largest absolute value then: 0.5 to below 4.

    A smaller value is that of a map below `SMALLEST_EXPONENT`.
    """
    saliency = saliency.astype(jnp.float32)
    largest = jax.lax.stop_gradient(jnp.abs(saliency).max((1, 2), keepdims=True))
    exponent = jnp.clip(jnp.frexp(largest)[1], SMALLEST_EXPONENT, LARGEST_EXPONENT)
    factor = jnp.ldexp(jnp.float32(1), -exponent)
    return saliency * factor, largest * factor


def _divide_unless_flat(
    numerator: Float[Array, "b h w"], denominator: Float[Array, "b 1 1"], largest: Float[Array, "b 1 1"]
) -> Float[Array, "b h w"]:
    flat = (denominator < FLAT * largest) | (largest < 0.5)
    # The inner `where` keeps the unused branch finite: its gradient would otherwise be 0 * inf.
    return jnp.where(flat, 0.0, numerator / jnp.where(flat, 1.0, denominator))


def normalise_minmax(saliency: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """`(s - min s) / (max s - min s)` per map, in float32; flat maps become zeros with zero gradient.

    The scale of a map does not matter, from 1e-25 to the largest float32. The sources add 1e-8 to the divisor, which
    would hide maps as small as that.

    Source: as DRE, GRADIA, HAICS and RES; for ALIGN, decision of this project.
    """
    saliency, largest = _on_unit_scale(saliency)
    low = saliency.min((1, 2), keepdims=True)
    return _divide_unless_flat(saliency - low, saliency.max((1, 2), keepdims=True) - low, largest)


def normalise_max(saliency: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
    """`relu(s) / max relu(s)` per map, in float32; maps without a positive cell of 1e-25 or more become zeros.

    Neither its scale matters nor how negative its other cells are. This is the usual Grad-CAM for display and
    evaluation. Cells at or below zero get no gradient.

    Source: Selvaraju et al. 2017, eq. 2.
    """
    positive, largest = _on_unit_scale(jax.nn.relu(saliency))
    return _divide_unless_flat(positive, positive.max((1, 2), keepdims=True), largest)


NORMALISATIONS: dict[str, Callable[[Float[Array, "b h w"]], Float[Array, "b h w"]]] = {
    "minmax": normalise_minmax,
    "max": normalise_max,
}


def _averaging_matrix(size: int, cells: int) -> Float[Array, "cells size"]:
    """Row i holds each pixel's share in cell i: the overlap of their intervals, so `size / cells` need not be whole."""
    edges = jnp.arange(cells + 1) * (size / cells)
    pixels = jnp.arange(size)
    upper = jnp.minimum(edges[1:, None], pixels[None] + 1)
    lower = jnp.maximum(edges[:-1, None], pixels[None])
    return jnp.clip(upper - lower, 0) * (cells / size)


def to_grid(mask: Float[Array, "b H W 1"], height: int, width: int) -> Float[Array, "b {height} {width}"]:
    """A mask on the saliency map's grid, by exact area averaging, in float32; a mask of that size keeps its values.

    Source: ALIGN, decision of this project ("the mask is brought to the CAM's grid by exact area averaging").
    """
    rows = _averaging_matrix(mask.shape[1], height)
    columns = _averaging_matrix(mask.shape[2], width)
    return jnp.einsum("ih,bhw,jw->bij", rows, mask[..., 0].astype(jnp.float32), columns, precision="highest")


def upsample(saliency: Float[Array, "b h w"], height: int, width: int) -> Float[Array, "b {height} {width}"]:
    """Bilinear upsampling with pixel centres at half integers (as torch with align_corners=False, and OpenCV)."""
    return jax.image.resize(saliency, (saliency.shape[0], height, width), "bilinear")
