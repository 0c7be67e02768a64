"""Integrated Gradients: what the score gains from a baseline to the image, distributed over pixels and channels."""

from collections.abc import Callable, Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float

from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.passes import summed
from align_jax.saliency.targets import Classes, Target, each_class
from align_jax.saliency.versions import Model, fixed_target, gradients, outputs_of, scores

Baseline = Fill | list[Fill] | tuple[Fill, ...]
Nodes = tuple[np.ndarray, np.ndarray]


def _gauss_legendre(steps: int) -> Nodes:
    points, weights = np.polynomial.legendre.leggauss(steps)
    return (points + 1) / 2, weights / 2


def _even(steps: int, first: float) -> Nodes:
    return (np.arange(steps) + first) / steps, np.full(steps, 1 / steps)


def _trapezoid(steps: int) -> Nodes:
    if steps < 2:
        raise ValueError(f"the trapezoid rule needs 2 steps or more, and was given {steps}")
    weights = np.full(steps, 1 / (steps - 1))
    weights[[0, -1]] /= 2
    return np.linspace(0, 1, steps), weights


# Points in [0, 1] and their weights, which sum to 1.
QUADRATURES: dict[str, Callable[[int], Nodes]] = {
    "gauss_legendre": _gauss_legendre,
    "left": lambda steps: _even(steps, 0.0),
    "right": lambda steps: _even(steps, 1.0),
    "middle": lambda steps: _even(steps, 0.5),
    "trapezoid": _trapezoid,
}


def integrated_gradients(
    model: Model,
    image: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    baseline: Baseline = "zero",
    preprocessing: Preprocessing | None = None,
    steps: int = 50,
    rule: str = "gauss_legendre",
    chunk: int = 1,
) -> Float[Array, "b *m h w c"]:
    """`(x - x') * integral_0^1 d score / d x (x' + t (x - x')) dt`, by n points t of a quadrature.

    All values of an image sum to `score(x) - score(x')`, but for the quadrature's error: see `convergence_delta`.
    Averaged over several baselines, they sum to the mean of the differences. Costs n forward and backward passes for
    each baseline, and one forward pass to find the predicted class. Inside of `jax.jit`, memory does not grow with n.

    Args:
      model: image -> outputs, or a cut.
      image: normalised.
      target: the class whose output is explained, or another number of the outputs (see `targets`).
      baseline: x': a fill (see `fills.filled`), or a list of them.
      preprocessing: how the images were normalised, for baselines that need it.
      steps: n, the gradients for each baseline.
      rule: `gauss_legendre`, which is exact for polynomials up to degree 2 n - 1; or a Riemann sum over n points,
        `left`, `right`, `middle` or `trapezoid`.
      chunk: how many points, each of all images, go through the model at once.

    Returns:
      The attribution in float32, signed; m of them an image if the target has m classes.

    Raises:
      ValueError: an unknown rule or baseline, no baseline, fewer than 1 step, a chunk below 1; and as `gradient`.
      TypeError: as `gradient`.

    Source: Sundararajan et al. 2017, "Axiomatic Attribution for Deep Networks", eq. 1; several baselines: Erion et al.
      2021, "Improving Performance of Deep Learning Models with Axiomatic Attribution Priors and Expected Gradients".
    """
    if rule not in QUADRATURES:
        raise ValueError(f"unknown rule {rule!r}: choose one of {', '.join(QUADRATURES)}")
    if steps < 1:
        raise ValueError(f"steps {steps} must be 1 or more; 50 is the default")
    fixed, starts = fixed_target(model, image, target), _starts(image, baseline, preprocessing)
    points, weights = QUADRATURES[rule](steps)
    items = {
        "start": np.repeat(np.arange(len(starts)), steps),
        "point": np.tile(points, len(starts)).astype(np.float32),
        "weight": np.tile(weights / len(starts), len(starts)).astype(np.float32),
    }

    def of_class(classes: Classes) -> Float[Array, "b h w c"]:
        def part(items: dict[str, Array]) -> Float[Array, "b h w c"]:
            point, weight = (items[name][:, None, None, None, None] for name in ("point", "weight"))
            start = jnp.take(starts, items["start"], axis=0)
            way = image.astype(jnp.float32) - start
            return (weight * way * gradients(model, (start + point * way).astype(image.dtype), classes)).sum(0)

        return summed(part, items, chunk)

    return each_class(of_class, fixed, lambda: outputs_of(model, image))


def convergence_delta(
    model: Model,
    image: Float[Array, "b h w c"],
    attribution: Float[Array, "b *m h w c"],
    target: Target = "predicted",
    *,
    baseline: Baseline = "zero",
    preprocessing: Preprocessing | None = None,
) -> Float[Array, "b *m"]:
    """`sum attribution - (score(x) - score(x'))`: how far an attribution is from being complete; 0 is exact.

    Costs one forward pass for the images and one for each baseline.

    Args:
      model, image, target, baseline, preprocessing: those of `integrated_gradients`.
      attribution: what it returned.

    Raises:
      ValueError: an attribution of another shape than the image and the target ask for; and as `integrated_gradients`.
      TypeError: as `integrated_gradients`.

    Source: Sundararajan et al. 2017, proposition 1 and section 5.
    """
    fixed = fixed_target(model, image, target)
    starts = _starts(image, baseline, preprocessing).astype(image.dtype)

    def gain(classes: Classes) -> Float[Array, " b"]:
        return scores(model, image[None], classes)[0] - scores(model, starts, classes).mean(0)

    gains = each_class(gain, fixed, lambda: outputs_of(model, image))
    # A sum over the last three axes would fit by broadcasting, and compare other images and classes.
    if attribution.shape != (*gains.shape, *image.shape[1:]):
        raise ValueError(
            f"an attribution of shape {list(attribution.shape)} does not fit images of shape {list(image.shape)} and a "
            f"target of shape {list(gains.shape)}: give what integrated_gradients returns for the same target, "
            f"{[*gains.shape, *image.shape[1:]]}"
        )
    return attribution.astype(jnp.float32).sum((-3, -2, -1)) - gains


def _starts(
    image: Float[Array, "b h w c"], baseline: Baseline, preprocessing: Preprocessing | None
) -> Float[Array, "r b h w c"]:
    """The baselines, one or several, as images."""
    several: Sequence[Fill] = baseline if isinstance(baseline, list | tuple) else [baseline]
    if not several:
        raise ValueError("no baseline was given: give a name such as 'zero', an array, or a list of these")
    return jnp.stack([filled(image.astype(jnp.float32), one, preprocessing) for one in several])
