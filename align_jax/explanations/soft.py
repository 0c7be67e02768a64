"""Faithfulness with the map itself as the mask, in place of the order of its values.

The images are x s + r (1 - s), where the map keeps, and x (1 - s) + r s, where it removes, with the fill r and a map s
in [0, 1]. Unlike the curves these depend on the map's scale: bring it to [0, 1] first (`saliency.shown`).
"""

from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.explanations.curves import Probabilities
from align_jax.explanations.maps import check_map, orders_pixels, where_ordered
from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.targets import Target, class_outputs, one_class, predicted, score


class Masked(NamedTuple):
    """p_c of the images, and of the images masked by their maps; NaN for an image whose map orders no pixels.

    Attributes:
      clean: p_c(x).
      kept: p_c(x s + r (1 - s)).
      removed: p_c(x (1 - s) + r s).
    """

    clean: Float[Array, " b"]
    kept: Float[Array, " b"]
    removed: Float[Array, " b"]


def mask(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    maps: Float[Array, "b h w"],
    target: Target = "predicted",
    *,
    fill: Fill,
    preprocessing: Preprocessing | None = None,
    clean: Float[Array, "b ..."] | None = None,
) -> Masked:
    """Three forward passes: the images, what their maps keep, and what is left without it.

    Args:
      maps: in [0, 1]. Outside of `jax.jit` others are refused; inside, where values are unknown, it is on the caller.
      clean: the probabilities of the images as they are, if they are known already.
      others, errors: as `curves.perturb`.
    """
    check_map(maps, image)
    if not isinstance(maps, jax.core.Tracer) and bool(((maps < 0) | (maps > 1)).any()):
        raise ValueError(
            f"maps with values from {maps.min():g} to {maps.max():g} do not lie in [0, 1], as masks must: scale them, "
            "for instance by saliency.shown"
        )
    classes = one_class(target, image.shape[0])
    replaced = filled(image, fill, preprocessing)
    share = maps[..., None].astype(image.dtype)
    versions = (image * share + replaced * (1 - share), image * (1 - share) + replaced * share)
    outputs = [probabilities(image) if clean is None else clean, *map(probabilities, versions)]
    outputs = [output.astype(jnp.float32) for output in outputs]
    if isinstance(classes, str):
        classes = predicted(class_outputs(outputs[0]))
    return Masked(*(where_ordered(score(output, classes), maps) for output in outputs))


def soft_comprehensiveness(masked: Masked) -> Float[Array, " b"]:
    """`p_c(x) - p_c(x (1 - s) + r s)`; higher is better. Source: DeYoung et al. 2020, section 4.2, with a soft mask."""
    return masked.clean - masked.removed


def soft_sufficiency(masked: Masked) -> Float[Array, " b"]:
    """`p_c(x) - p_c(x s + r (1 - s))`; lower is better. Source: as `soft_comprehensiveness`."""
    return masked.clean - masked.kept


def average_drop(masked: Masked) -> Float[Array, " b"]:
    """`relu(p_c(x) - p_c(x s)) / p_c(x)` in [0, 1], lower is better: the authors' fill is 0.

    0 where p_c(x) is 0: there is nothing that could drop.

    Source: Chattopadhay et al., Grad-CAM++ (WACV 2018), section 5.1.1.
    """
    drop = jax.nn.relu(masked.clean - masked.kept)
    return jnp.where(masked.clean == 0, 0.0, drop / jnp.where(masked.clean == 0, 1.0, masked.clean))


def increase(masked: Masked) -> Float[Array, " b"]:
    """1 if p_c(x s) > p_c(x), else 0; higher is better. Source: as `average_drop`."""
    undefined = jnp.isnan(masked.clean) | jnp.isnan(masked.kept)
    return jnp.where(undefined, jnp.nan, (masked.kept > masked.clean).astype(jnp.float32))


class AverageDropCoherencyComplexity(NamedTuple):
    """ADCC and its parts, one value for each image.

    Attributes:
      adcc: 3 / (1 / coherency + 1 / (1 - complexity) + 1 / (1 - drop)), in [0, 1], higher is better.
      coherency: (1 + the correlation of s with the map of x s) / 2: the explanation of what is explained is the same.
      complexity: the mean of s.
      drop: see `average_drop`.
    """

    adcc: Float[Array, " b"]
    coherency: Float[Array, " b"]
    complexity: Float[Array, " b"]
    drop: Float[Array, " b"]


def adcc(
    masked: Masked,
    maps: Float[Array, "b h w"],
    maps_of_kept: Float[Array, "b h w"],
) -> AverageDropCoherencyComplexity:
    """The harmonic mean of how little the probability drops, and how coherent and how simple the maps are.

    A part that is 0 makes ADCC 0. An image's values are NaN if one of its maps orders no pixels.

    Args:
      masked: see `mask`, with fill 0.
      maps: s, in [0, 1].
      maps_of_kept: of the same class and by the same method, of the images x s.

    Source: Poppi et al., Revisiting the evaluation of class activation mapping (CVPR Workshops 2021), eq. 6-9.
    """
    coherency = (1 + correlation(maps, maps_of_kept)) / 2
    complexity, drop = maps.astype(jnp.float32).mean(axis=(1, 2)), average_drop(masked)
    parts = jnp.stack([coherency, 1 - complexity, 1 - drop])
    positive = (parts > 0).all(axis=0) | jnp.isnan(parts).any(axis=0)
    harmonic = 3 / (1 / jnp.where(positive, parts, 1)).sum(axis=0)
    return AverageDropCoherencyComplexity(jnp.where(positive, harmonic, 0.0), coherency, complexity, drop)


def correlation(first: Float[Array, "b h w"], second: Float[Array, "b h w"]) -> Float[Array, " b"]:
    """Pearson's correlation of the pixels of two maps; NaN if one of them orders no pixels."""
    if first.shape != second.shape:
        raise ValueError(f"maps of shapes {list(first.shape)} and {list(second.shape)} cannot be compared")

    def standardised(maps: Float[Array, "b h w"]) -> Float[Array, "b h w"]:
        maps = maps.astype(jnp.float32)
        # On a scale where squares are neither too large nor too small for float32.
        centred = maps / jnp.maximum(jnp.abs(maps).max(axis=(1, 2), keepdims=True), jnp.finfo(jnp.float32).tiny)
        centred = centred - centred.mean(axis=(1, 2), keepdims=True)
        largest = jnp.abs(centred).max(axis=(1, 2), keepdims=True)
        centred = centred / jnp.where(largest > 0, largest, 1)
        norm = jnp.sqrt((centred**2).sum(axis=(1, 2), keepdims=True))
        return centred / jnp.where(norm > 0, norm, 1)

    both = (standardised(first) * standardised(second)).sum(axis=(1, 2))
    return jnp.where(orders_pixels(first) & orders_pixels(second), both, jnp.nan)
