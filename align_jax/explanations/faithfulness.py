"""Does the classifier use what the saliency map points at? Erase pixels by rank and watch the probability.

Notation: image x, target class c, probability p_c, saliency map s at the image's resolution. Pixels are ranked by
falling s; of equal values the first one, row by row, ranks higher, so a constant map ranks pixels in order from the
top left. A pixel is removed with all its channels, and is replaced by a *fill* (`fills`), on the normalised image.

The numbers depend on the fill: on one trained network Grad-CAM's comprehensiveness is 0.245 with mean, 0.226 with
image_mean and 0.084 with blur. State the fill wherever a number is reported, and give the same metric of `random_map`
beside it: images with erased pixels are out of distribution, and only the difference from it is due to the map.

Everything is per image, pure and jittable; close over the network's parameters and jit:

    score = jax.jit(functools.partial(faithfulness, probabilities, fill="mean"))
    comprehensiveness, sufficiency = score(image, saliency, target)

The altered batches are evaluated one after the other (`lax.map`), so memory is that of one forward pass, however many
bins or steps there are. Values are float32 whatever the input's precision.
"""

import math
from collections.abc import Callable, Sequence
from typing import NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, PRNGKeyArray

from align_jax.fills import FILLS
from align_jax.labels import of_label

Probabilities = Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]]

PERCENTS = (1, 5, 10, 20, 50)  # ERASER's bins


class Faithfulness(NamedTuple):
    """Both ERASER metrics of a batch."""

    comprehensiveness: Float[Array, " b"]
    sufficiency: Float[Array, " b"]


def faithfulness(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    fill: str = "mean",
    percents: Sequence[int | float] = PERCENTS,
    rounding: str = "ceil",
) -> Faithfulness:
    """Comprehensiveness and sufficiency, sharing the ranks and the clean probability.

    With k_q the number of pixels in the top q per cent of s:

        comprehensiveness = mean_q  p_c(x) - p_c(x without its top k_q pixels)      higher is better
        sufficiency       = mean_q  p_c(x) - p_c(the top k_q pixels of x alone)     lower is better

    Both lie in [-1, 1]. Costs 2 len(percents) + 1 forward passes.

    Args:
      probabilities: images to class probabilities, each image on its own (BatchNorm with stored statistics).
      image: normalised images.
      saliency: one map per image at the image's resolution; only the order of its values counts.
      target: the class c that the map explains, usually the predicted one.
      fill: one of `fills.FILLS`.
      percents: the bins q, in per cent of the image's pixels, each in (0, 100].
      rounding: k_q is the ceil (default) or the floor of q/100 h w.

    Returns:
      One value per image and metric.

    Raises:
      ValueError: unknown fill or rounding, no bins, a bin outside (0, 100], or a target outside 0 ... k - 1; inside
        `jax.jit` such a target's values are NaN instead (see `labels`).

    Source: DeYoung et al., ERASER (ACL 2020), section 4.2: the area over the perturbation curve, on pixels.
    """
    return Faithfulness(*_drops(probabilities, image, saliency, target, fill, percents, rounding, False, True))


def comprehensiveness(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    fill: str = "mean",
    percents: Sequence[int | float] = PERCENTS,
    rounding: str = "ceil",
) -> Float[Array, " b"]:
    """How far the probability falls without the top pixels; higher is better. Arguments as in `faithfulness`."""
    return _drops(probabilities, image, saliency, target, fill, percents, rounding, False)[0]


def sufficiency(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    fill: str = "mean",
    percents: Sequence[int | float] = PERCENTS,
    rounding: str = "ceil",
) -> Float[Array, " b"]:
    """How far the probability falls with the top pixels alone; lower is better. Arguments as in `faithfulness`."""
    return _drops(probabilities, image, saliency, target, fill, percents, rounding, True)[0]


def deletion_auc(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    steps: int = 20,
    fill: str = "mean",
) -> Float[Array, " b"]:
    """Area under p_c while the top pixels are removed, from none to all; lower is better.

        sum_i (f_{i+1} - f_i) (p_c(f_i) + p_c(f_{i+1})) / 2,   f_i = floor(i h w / steps) / (h w),  i = 0 ... steps

    with p_c(f) the probability once the fraction f of the pixels is replaced by the fill. f_0 = 0 is the clean image.
    In [0, 1]; costs steps + 1 forward passes. Arguments as in `faithfulness`.

    Raises:
      ValueError: unknown fill, fewer than one step, or a target as in `faithfulness`.

    Source: Petsiuk et al., RISE (BMVC 2018), section 4.1.
    """
    return _area(probabilities, image, saliency, target, steps=steps, fill=fill, keep_top=False)


def insertion_auc(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    steps: int = 20,
    fill: str = "blur",
) -> Float[Array, " b"]:
    """Area under p_c while the top pixels are put into the filled image, from none to all; higher is better.

    The formula is that of `deletion_auc`, with p_c(f) the probability once the fraction f of the pixels shows the image
    and the rest the fill. f_0 = 0 is the fill alone: by default the blurred image, because soft edges do not look like
    an object. In [0, 1]; costs steps + 1 forward passes. Arguments as in `faithfulness`.

    Raises:
      ValueError: unknown fill, fewer than one step, or a target as in `faithfulness`.

    Source: Petsiuk et al., RISE (BMVC 2018), section 4.1.
    """
    return _area(probabilities, image, saliency, target, steps=steps, fill=fill, keep_top=True)


def random_map(key: PRNGKeyArray, shape: tuple[int, int, int]) -> Float[Array, "b h w"]:
    """Uniform noise in [0, 1): the control map, independent of image and classifier. `shape` is (b, h, w)."""
    return jax.random.uniform(key, shape)


_ROUNDINGS: dict[str, Callable[[float], int]] = {"ceil": math.ceil, "floor": math.floor}


def _pixels_in_top(percents: Sequence[int | float], rounding: str, pixels: int) -> tuple[int, ...]:
    if rounding not in _ROUNDINGS:
        raise ValueError(f"unknown rounding {rounding!r}: choose one of {', '.join(_ROUNDINGS)}")
    if not percents or not all(0 < percent <= 100 for percent in percents):
        raise ValueError(f"percents {tuple(percents)} must be one or more numbers in (0, 100], such as {PERCENTS}")
    # Multiplying before dividing keeps whole counts whole: 0.07 * 100 is 7.000000000000001, and its ceil 8.
    return tuple(_ROUNDINGS[rounding](percent * pixels / 100) for percent in percents)


def _drops(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    fill: str,
    percents: Sequence[int | float],
    rounding: str,
    *keep_top: bool,
) -> list[Float[Array, " b"]]:
    """mean_q p_c(x) - p_c(x altered), where altering keeps the top pixels alone or removes them; one for each flag."""
    count = _pixels_in_top(percents, rounding, image.shape[1] * image.shape[2])
    counts = (0,) + count * len(keep_top)
    kept = (False, *(keep for keep in keep_top for _ in count))
    p = _target_probability(probabilities, image, fill, saliency, target, counts, kept)
    return [p[0] - p[start : start + len(count)].mean(axis=0) for start in range(1, len(p), len(count))]


def _area(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    *,
    steps: int,
    fill: str,
    keep_top: bool,
) -> Float[Array, " b"]:
    if steps < 1:
        raise ValueError(f"steps {steps} must be at least 1; 20 is the default")
    pixels = image.shape[1] * image.shape[2]
    count = tuple(i * pixels // steps for i in range(steps + 1))
    p = _target_probability(probabilities, image, fill, saliency, target, count, (keep_top,) * len(count))
    return jnp.trapezoid(p, jnp.array(count) / pixels, axis=0)


def _target_probability(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    fill: str,
    saliency: Float[Array, "b h w"],
    target: Int[Array, " b"],
    count: Sequence[int],
    keep_top: Sequence[bool],
) -> Float[Array, "n b"]:
    """p_c of n altered batches: each image shows its top `count` pixels alone, or (not keep_top) all the others."""
    if fill not in FILLS:
        raise ValueError(f"unknown fill {fill!r}: choose one of {', '.join(FILLS)}")
    filled = FILLS[fill](image)
    rank = _rank(saliency)

    def altered(top: Int[Array, ""], keep: Bool[Array, ""]) -> Float[Array, " b"]:
        shown = jnp.where(((rank < top) == keep)[..., None], image, filled)
        return of_label(probabilities(shown).astype(jnp.float32), target)

    return jax.lax.map(lambda version: altered(*version), (jnp.array(count), jnp.array(keep_top)))


def _rank(saliency: Float[Array, "b h w"]) -> Int[Array, "b h w"]:
    """0 for the most salient pixel of each map, h w - 1 for the least; the earlier of two equal pixels comes first."""
    order = jnp.argsort(-saliency.reshape(saliency.shape[0], -1), axis=-1, stable=True)
    return jnp.argsort(order, axis=-1).reshape(saliency.shape)
