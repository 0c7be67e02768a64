"""Does the classifier use what the saliency map points at? These metrics are read off `curves`, without other passes.

Values are per image, in float32; NaN for an image whose map orders no pixels.
"""

import math
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from align_jax.explanations.curves import ERASER, Curves, in_steps


def comprehensiveness(curves: Curves, fractions: Sequence[float] = ERASER) -> Float[Array, " b"]:
    """How far the probability falls without the top pixels; higher is better.

        mean_q  p_c(x) - p_c(x without the top q of its pixels)

    In [-1, 1].

    Args:
      curves: with these fractions among `remove`.
      fractions: the bins q.

    Raises:
      ValueError: no bins, or the curves have no point at one of them.

    Source: DeYoung et al., ERASER (ACL 2020), section 4.2: the area over the perturbation curve, on pixels.
    """
    return comprehensiveness_points(curves, fractions).mean(axis=1)


def comprehensiveness_points(curves: Curves, fractions: Sequence[float] = ERASER) -> Float[Array, "b n"]:
    """`comprehensiveness` at each bin."""
    places = _places(curves.remove, fractions, "remove")
    return curves.clean[:, None] - curves.removed[:, np.array(places)]


def sufficiency(curves: Curves, fractions: Sequence[float] = ERASER) -> Float[Array, " b"]:
    """How far the probability falls with the top pixels alone; lower is better.

        mean_q  p_c(x) - p_c(the top q of x's pixels alone)

    In [-1, 1]. Arguments, errors and source as `comprehensiveness`, with `keep`.
    """
    return sufficiency_points(curves, fractions).mean(axis=1)


def sufficiency_points(curves: Curves, fractions: Sequence[float] = ERASER) -> Float[Array, "b n"]:
    """`sufficiency` at each bin."""
    places = _places(curves.keep, fractions, "keep")
    return curves.clean[:, None] - curves.kept[:, np.array(places)]


def deletion_auc(curves: Curves, steps: int = 20) -> Float[Array, " b"]:
    """Area under p_c while the top pixels are removed, from none to all; lower is better.

        sum_i (f_{i+1} - f_i) (p_c(f_i) + p_c(f_{i+1})) / 2,   i = 0 ... steps - 1

    with p_c(f) the probability once the fraction f of the pixels is replaced by the fill, and f_i the fraction i/steps,
    after rounding to whole pixels. f_0 = 0 is the clean image. In [0, 1].

    Args:
      curves: with `in_steps(steps)` among `remove`.
      steps: of equal size.

    Raises:
      ValueError: fewer than one step, or the curves have no point at one of them.

    Source: Petsiuk et al., RISE (BMVC 2018), section 4.1.
    """
    places = _places(curves.remove, in_steps(steps), "remove")
    return _area(curves.removed[:, np.array(places)], [curves.removed_pixels[place] for place in places], curves.pixels)


def deletion_points(curves: Curves, steps: int = 20) -> Float[Array, "b n"]:
    """p_c(f_0) ... p_c(f_steps), whose area is `deletion_auc`, for a figure."""
    return curves.removed[:, np.array(_places(curves.remove, in_steps(steps), "remove"))]


def insertion_auc(curves: Curves, steps: int = 20) -> Float[Array, " b"]:
    """Area under p_c while the top pixels are put into the filled image, from none to all; higher is better.

    The formula is that of `deletion_auc`, with p_c(f) the probability once the fraction f of the pixels shows the image
    and the rest the fill. The authors start from the blurred image, because soft edges do not look like an object: give
    `perturb` fill="blur" for that. Arguments, errors and source as `deletion_auc`, with `keep`.
    """
    places = _places(curves.keep, in_steps(steps), "keep")
    return _area(curves.kept[:, np.array(places)], [curves.kept_pixels[place] for place in places], curves.pixels)


def insertion_points(curves: Curves, steps: int = 20) -> Float[Array, "b n"]:
    """p_c(f_0) ... p_c(f_steps), whose area is `insertion_auc`, for a figure."""
    return curves.kept[:, np.array(_places(curves.keep, in_steps(steps), "keep"))]


def _places(found: Sequence[float], wanted: Sequence[float], which: str) -> list[int]:
    """Where the wanted fractions stand among those that were evaluated."""
    if not wanted:
        raise ValueError("no fractions of the pixels were given: give one or more, such as (0.1, 0.5)")
    places = []
    for fraction in wanted:
        place = next((i for i, other in enumerate(found) if math.isclose(fraction, other, abs_tol=1e-9)), None)
        if place is None:
            raise ValueError(
                f"the curves have no point at the fraction {fraction:g}, only at {', '.join(f'{x:g}' for x in found)}: "
                f"give it to perturb({which}=...), or ask for others here"
            )
        places.append(place)
    return places


def _area(p: Float[Array, "b n"], counts: Sequence[int], pixels: int) -> Float[Array, " b"]:
    return jnp.trapezoid(p, jnp.array(counts) / pixels, axis=1)
