"""Does the map lie on the object? Learned masks and saliency maps compared with a true mask.

Values are per image. NaN means that the metric does not apply to an image (it has no object, the map is zero, or, where
the order of its values counts, the map has none), which is neither a success nor a failure. A NaN in a map or mask
gives NaN. Average with `mean.Mean`, which also counts.

True masks are boolean or floating point in [0, 1]. Integers are refused: 0/1 and 0/255 cannot be told apart. Outside
of `jax.jit` a value above 1 is refused, too; inside, where values are unknown, it is on the caller.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped

from align_jax.explanations.maps import check_masks, flat, has_nan, pixel_ranks, where_ordered


def mask_iou(
    mask: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"], threshold: float = 0.5
) -> Float[Array, " b"]:
    """Intersection over union of two masks, both binarised by `> threshold`.

        |M and T| / |M or T|

    Args:
      mask: the learned mask, float in [0, 1] (or boolean).
      true_mask: the object's mask, in the same range (or boolean).
      threshold: applied to both.

    Returns:
      One value in [0, 1] per image; NaN where both binarised masks are empty.

    Raises:
      ValueError: shapes that differ, or values outside [0, 1].
      TypeError: masks of integers.
    """
    _check(mask, true_mask)
    check_in_unit_interval(mask)
    found, true = mask > threshold, true_mask > threshold
    iou = _ratio((found & true).sum(axis=(1, 2)), (found | true).sum(axis=(1, 2)))
    return jnp.where(has_nan(mask) | has_nan(true_mask), jnp.nan, iou)


def energy_inside(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """The share of a saliency map's positive mass that lies inside the object: the energy pointing game.

        sum(relu(s) m) / sum(relu(s))

    Only positive evidence counts, as in Grad-CAM. The number to compare with is the object's share of the image: a map
    that ignores the object scores that on average. It is also known as relevance mass accuracy.

    Args:
      saliency: maps at the mask's resolution, on any scale.
      true_mask: m in [0, 1] (or boolean); fractional values at the object's edge count in part.

    Returns:
      One value in [0, 1] per image; NaN where the map has no positive value, or the mask is empty.

    Raises:
      ValueError, TypeError: as `mask_iou`, of the true mask.

    Source: Wang et al., Score-CAM (CVPR Workshops 2020), section 4.3.
    """
    _check(saliency, true_mask)
    positive = jax.nn.relu(saliency.astype(jnp.float32))
    inside = true_mask.astype(jnp.float32)
    energy = _ratio((positive * inside).sum(axis=(1, 2)), positive.sum(axis=(1, 2)))
    return jnp.where(_has_object(true_mask), energy, jnp.nan)


def pointing_game(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Whether the map's maximum lies inside the object (m > 0.5): 1 for a hit, 0 for a miss.

    If several pixels are maximal, the score is the share of them that lies inside.

    Args, errors: as `energy_inside`; of the map only the order counts.

    Returns:
      One value in [0, 1] per image; NaN where the mask is empty, or the map points nowhere.

    Source: Zhang et al., Top-down neural attention by excitation backprop (IJCV 2018), section 4.2.
    """
    _check(saliency, true_mask)
    inside = true_mask > 0.5
    maximal = saliency == saliency.max(axis=(1, 2), keepdims=True)
    return _where_applies(_ratio((maximal & inside).sum(axis=(1, 2)), maximal.sum(axis=(1, 2))), saliency, true_mask)


def rank_accuracy(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """The share of the top |m| pixels of the map that lies inside the object, which has |m| pixels (m > 0.5).

    Args, returns, errors: as `pointing_game`.

    Source: Arras et al., CLEVR-XAI (Information Fusion 2022), eq. 3: relevance rank accuracy.
    """
    _check(saliency, true_mask)
    inside = true_mask > 0.5
    size = inside.sum(axis=(1, 2))
    top = pixel_ranks(saliency) < size[:, None, None]
    return _where_applies(_ratio((top & inside).sum(axis=(1, 2)), size), saliency, true_mask)


def top_k_inside(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"], k: int) -> Float[Array, " b"]:
    """The share of the k most salient pixels that lies inside the object (m > 0.5).

    Args, returns, errors: as `pointing_game`; k is in 1 ... h w.

    Source: Theiner et al., Interpretable semantic photo geolocation (WACV 2022): top-k intersection.
    """
    _check(saliency, true_mask)
    pixels = saliency.shape[1] * saliency.shape[2]
    if not 1 <= k <= pixels:
        raise ValueError(f"k {k} must lie in 1 to {pixels}, the number of pixels")
    inside = true_mask > 0.5
    hit = ((pixel_ranks(saliency) < k) & inside).sum(axis=(1, 2)) / k
    return _where_applies(hit.astype(jnp.float32), saliency, true_mask)


def roc_auc(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """The probability that a pixel of the object (m > 0.5) has a larger value than one outside; equal ones count half.

    Args, errors: as `pointing_game`.

    Returns:
      One value in [0, 1] per image; NaN also where the object is the whole image.

    Source: Fawcett, An introduction to ROC analysis (2006), section 7.
    """
    _check(saliency, true_mask)
    inside = (true_mask > 0.5).reshape(len(true_mask), -1)

    def of_image(values: Float[Array, " n"], inside: Bool[Array, " n"]) -> Float[Array, ""]:
        # Each pixel of the object beats the outside pixels below it: those below it less the object's own.
        order = jnp.argsort(values)
        outside_below = jnp.concatenate([jnp.zeros(1, int), jnp.cumsum(~inside[order])])
        lower, upper = (jnp.searchsorted(values[order], values, side=side) for side in ("left", "right"))
        beaten = (outside_below[lower] + outside_below[upper]) / 2
        objects, others = inside.sum(), (~inside).sum()
        share = jnp.where(inside, beaten / jnp.maximum(others, 1), 0).sum() / jnp.maximum(objects, 1)
        return jnp.where(others > 0, share, jnp.nan)

    auc = jax.vmap(of_image)(flat(saliency), inside)
    return _where_applies(auc.astype(jnp.float32), saliency, true_mask)


def average_precision(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Average precision of the map as a detector of the object's pixels (m > 0.5).

        sum_n (recall_n - recall_{n-1}) precision_n

    over the thresholds n: pixels of equal value are found together.

    Args, returns, errors: as `pointing_game`.

    Source: Everingham et al., The PASCAL visual object classes challenge (IJCV 2010), without interpolation.
    """
    _check(saliency, true_mask)
    inside = (true_mask > 0.5).reshape(len(true_mask), -1)

    def of_image(values: Float[Array, " n"], inside: Bool[Array, " n"]) -> Float[Array, ""]:
        order = jnp.argsort(-values)
        falling = -values[order]
        # How many pixels are found at each pixel's own value, and how many of them are the object's.
        found = jnp.searchsorted(falling, falling, side="right")
        true = jnp.cumsum(inside[order])[found - 1]
        return jnp.where(inside[order], true / found, 0).sum() / jnp.maximum(inside.sum(), 1)

    precision = jax.vmap(of_image)(flat(saliency), inside)
    return _where_applies(precision.astype(jnp.float32), saliency, true_mask)


def _check(saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> None:
    check_masks(saliency, true_mask)
    check_in_unit_interval(true_mask)


def check_in_unit_interval(mask: Shaped[Array, "b h w"]) -> None:
    if mask.dtype == bool:
        return
    if not jnp.issubdtype(mask.dtype, jnp.floating):
        raise TypeError(f"a mask of type {mask.dtype} could be 0/1 or 0/255: give mask.astype(bool), or mask / 255")
    if not isinstance(mask, jax.core.Tracer) and bool(((mask < 0) | (mask > 1)).any()):
        raise ValueError(f"a mask with values from {mask.min():g} to {mask.max():g} does not lie in [0, 1]: scale it")


def _has_object(mask: Shaped[Array, "b h w"]) -> Bool[Array, " b"]:
    return (mask > 0).any(axis=(1, 2))


def _where_applies(
    values: Float[Array, " b"], saliency: Shaped[Array, "b h w"], true_mask: Shaped[Array, "b h w"]
) -> Float[Array, " b"]:
    """NaN where there is no object, the map orders no pixels, or the mask has a NaN."""
    applies = _has_object(true_mask > 0.5) & ~has_nan(true_mask)
    return jnp.where(applies, where_ordered(values, saliency), jnp.nan)


def _ratio(part: Shaped[Array, " b"], whole: Shaped[Array, " b"]) -> Float[Array, " b"]:
    """part / whole in float32, NaN where whole is 0."""
    whole = whole.astype(jnp.float32)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), jnp.nan)
