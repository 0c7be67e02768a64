"""Does the map lie on the object? Learned masks and saliency maps compared with a true mask.

Values are per image. NaN means that the metric does not apply to an image (it has no object, or the map is zero), which
is neither a success nor a failure. Average with `align_jax.evaluation.metrics.mean_where_defined`, which also counts.
"""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Shaped


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
    """
    mask, true_mask = mask > threshold, true_mask > threshold
    return _ratio((mask & true_mask).sum(axis=(1, 2)), (mask | true_mask).sum(axis=(1, 2)))


def energy_inside(saliency: Float[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """The share of a saliency map's positive mass that lies inside the object: the energy pointing game.

        sum(relu(s) m) / sum(relu(s))

    Only positive evidence counts, as in Grad-CAM. The number to compare with is the object's share of the image: a map
    that ignores the object scores that on average.

    Args:
      saliency: maps at the mask's resolution, on any scale.
      true_mask: m in [0, 1] (or boolean); fractional values at the object's edge count in part.

    Returns:
      One value in [0, 1] per image; NaN where the map has no positive value, or the mask is empty.

    Source: Wang et al., Score-CAM (CVPR Workshops 2020), section 4.3.
    """
    positive = jax.nn.relu(saliency.astype(jnp.float32))
    inside = true_mask.astype(jnp.float32)
    energy = _ratio((positive * inside).sum(axis=(1, 2)), positive.sum(axis=(1, 2)))
    return jnp.where(_has_object(true_mask), energy, jnp.nan)


def pointing_game(saliency: Float[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    """Whether the map's maximum lies inside the object (m > 0.5): 1 for a hit, 0 for a miss.

    If several pixels are maximal, the score is the share of them that lies inside: a constant map, pointing nowhere,
    scores the object's share of the image, whatever its first pixel is.

    Returns:
      One value in [0, 1] per image; NaN where the mask is empty.

    Source: Zhang et al., Top-down neural attention by excitation backprop (IJCV 2018), section 4.2.
    """
    inside = true_mask > 0.5
    maximal = saliency == saliency.max(axis=(1, 2), keepdims=True)
    hit = _ratio((maximal & inside).sum(axis=(1, 2)), maximal.sum(axis=(1, 2)))
    return jnp.where(_has_object(inside), hit, jnp.nan)


def _has_object(mask: Shaped[Array, "b h w"]) -> Bool[Array, " b"]:
    return (mask > 0).any(axis=(1, 2))


def _ratio(part: Shaped[Array, " b"], whole: Shaped[Array, " b"]) -> Float[Array, " b"]:
    """part / whole in float32, NaN where whole is 0."""
    whole = whole.astype(jnp.float32)
    return jnp.where(whole > 0, part / jnp.where(whole > 0, whole, 1), jnp.nan)
