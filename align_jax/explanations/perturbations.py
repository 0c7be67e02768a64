"""Do the map's values say how the score changes? Metrics over many small changes of an image.

The changes are drawn one by one, by a function of their number: `gaussian_noise`, `uniform_noise`, `random_subsets`,
or one of your own, which may read stored draws. They are never held all at once.
"""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from align_jax.explanations.keys import keys_of
from align_jax.explanations.maps import check_map, check_shape, where_ordered
from align_jax.explanations.soft import correlation
from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.passes import one_by_one
from align_jax.saliency.targets import Classes, Target, fixed, one_class, score
from align_jax.saliency.versions import Model, outputs_of

Noise = Callable[[Int[Array, ""]], Float[Array, "b h w c"]]
Subsets = Callable[[Int[Array, ""]], Bool[Array, "b h w"]]


def gaussian_noise(key: Key[Array, "*b"], image: Float[Array, "b h w c"], deviation: float) -> Noise:
    """Normal noise like the image, with this standard deviation, anew for each number.

    Args:
      key: of the batch, or one for each image.
      image: for its shape.
      deviation: in the image's values.
    """
    return _drawn(key, image, lambda key: deviation * jax.random.normal(key, image.shape[1:]))


def uniform_noise(key: Key[Array, "*b"], image: Float[Array, "b h w c"], radius: float) -> Noise:
    """Uniform noise like the image, in [-radius, radius), anew for each number. Arguments as in `gaussian_noise`."""
    return _drawn(key, image, lambda key: jax.random.uniform(key, image.shape[1:], minval=-radius, maxval=radius))


def random_subsets(key: Key[Array, "*b"], image: Float[Array, "b h w c"], size: int) -> Subsets:
    """Of each image `size` of its pixels, drawn without replacement, anew for each number.

    Args:
      key: of the batch, or one for each image.
      image: for its shape.
      size: in pixels.

    Raises:
      ValueError: no pixel, or more than there are.
    """
    height, width = image.shape[1:3]
    if not 1 <= size <= height * width:
        raise ValueError(f"a subset of {size} pixels must have 1 to {height * width}, the number of pixels")

    def subset(key: Key[Array, ""]) -> Bool[Array, "h w"]:
        order = jax.random.permutation(key, height * width)
        return (order < size).reshape(height, width)

    return _drawn(key, image, subset)


def _drawn(
    key: Key[Array, "*b"], image: Float[Array, "b h w c"], draw: Callable[[Key[Array, ""]], Array]
) -> Callable[[Int[Array, ""]], Array]:
    """From a number to what is drawn for each image."""
    keys = keys_of(key, image.shape[0])
    return lambda number: jax.vmap(lambda key: draw(jax.random.fold_in(key, number)))(keys)


def infidelity(
    model: Model,
    image: Float[Array, "b h w c"],
    attribution: Float[Array, "b h w c"],
    target: Target = "predicted",
    *,
    noise: Noise,
    samples: int,
    normalise: bool = False,
) -> Float[Array, " b"]:
    """How far the attribution is from predicting the score's change; lower is better.

        E_I (I . Phi - (f(x) - f(x - I)))^2

    with f the score of the target, and I noise. If `normalise`, Phi is first multiplied by the number that makes it
    best, E[(I . Phi) (f(x) - f(x - I))] / E[(I . Phi)^2]: then the attribution's scale does not matter. Zeros stay 0.

    Args:
      model: image -> outputs, or a cut.
      image: as the model sees them.
      attribution: one value for each input, on the scale of a gradient.
      target: see `saliency.targets`.
      noise: from a number 0 ... samples - 1 to I.
      samples: of the noise; each costs a forward pass.
      normalise: see above.

    Raises:
      ValueError: shapes that do not fit, or fewer than one sample. And those of `saliency.targets`.

    Source: Yeh et al., On the (in)fidelity and sensitivity of explanations (NeurIPS 2019), definition 2.1; `normalise`:
      captum.
    """
    _check_samples(samples)
    if attribution.shape != image.shape:
        raise ValueError(
            f"the attribution has the shape {list(attribution.shape)}, and the images have {list(image.shape)}: give "
            "one value for each input"
        )
    chosen, before = _explained(target, model, image)

    def of_number(number: Int[Array, ""]) -> Float[Array, "b 2"]:
        change = _like(noise(number), image)
        foretold = (change * attribution.astype(jnp.float32)).sum(axis=(1, 2, 3))
        changed = (image - change).astype(image.dtype)
        return jnp.stack([foretold, before - score(outputs_of(model, changed), chosen)], axis=1)

    foretold, found = jnp.moveaxis(one_by_one(of_number, (jnp.arange(samples),)), -1, 0)
    if normalise:
        squares = (foretold**2).mean(axis=0)
        scale = jnp.where(squares > 0, (foretold * found).mean(axis=0) / jnp.where(squares > 0, squares, 1), 1)
        foretold = foretold * scale
    return ((foretold - found) ** 2).mean(axis=0)


def max_sensitivity(
    explain: Callable[[Float[Array, "b h w c"]], Float[Array, "b ..."]],
    image: Float[Array, "b h w c"],
    *,
    noise: Noise,
    samples: int,
) -> Float[Array, " b"]:
    """How much an explanation changes with the image; lower is better.

        max_u || Phi(x + u) - Phi(x) || / || Phi(x) ||

    in the Euclidean norm over all values of an image's map.

    Args:
      explain: images -> their maps, of a class that does not change with the noise.
      image: as the model sees them.
      noise: from a number 0 ... samples - 1 to u.
      samples: of the noise; each costs an explanation.

    Returns:
      One value for each image; NaN where the map is zero, or has a NaN.

    Raises:
      ValueError: fewer than one sample.

    Source: Yeh et al. 2019, definition 3.1, divided by the map's norm, as in captum.
    """
    _check_samples(samples)
    before = explain(image).astype(jnp.float32)
    axes = tuple(range(1, before.ndim))

    def of_number(number: Int[Array, ""]) -> Float[Array, " b"]:
        changed = explain((image + _like(noise(number), image)).astype(image.dtype)).astype(jnp.float32)
        return jnp.sqrt((((changed - before) / scale) ** 2).sum(axis=axes))

    # Squares of very small or large values would leave float32.
    scale = jnp.abs(before).max(axis=axes, keepdims=True)
    scale = jnp.where(scale > 0, scale, 1)
    largest = one_by_one(of_number, (jnp.arange(samples),)).max(axis=0)
    norm = jnp.sqrt(((before / scale) ** 2).sum(axis=axes))
    return jnp.where(norm > 0, largest / jnp.where(norm > 0, norm, 1), jnp.nan)


def faithfulness_correlation(
    model: Model,
    image: Float[Array, "b h w c"],
    maps: Float[Array, "b h w"],
    target: Target = "predicted",
    *,
    subsets: Subsets,
    samples: int,
    fill: Fill,
    preprocessing: Preprocessing | None = None,
) -> Float[Array, " b"]:
    """The correlation between a subset's sum of the map and the score's fall without that subset; higher is better.

        corr_S ( sum_{i in S} s_i,  f(x) - f(x with the pixels S replaced) )

    Args:
      model: image -> outputs, logits or probabilities; or a cut.
      image: as the model sees them.
      maps: one for each image at its resolution; unlike in `curves` its values count.
      target: see `saliency.targets`.
      subsets: from a number 0 ... samples - 1 to the pixels that are replaced.
      samples: at least two; each costs a forward pass.
      fill: what replaces pixels, see `fills.filled`.
      preprocessing: how the images were normalised, for fills that need it.

    Returns:
      One value in [-1, 1] for each image; NaN where all sums, or all falls, are equal, or the map orders no pixels.

    Raises:
      ValueError: shapes that do not fit, or fewer than two samples. And those of `fills.filled` and `saliency.targets`.

    Source: Bhatt et al., Evaluating and aggregating feature-based model explanations (IJCAI 2020), section 3.2.
    """
    check_map(maps, image)
    _check_samples(samples, at_least=2)
    chosen, before = _explained(target, model, image)
    replaced = filled(image, fill, preprocessing)

    def of_number(number: Int[Array, ""]) -> Float[Array, "b 2"]:
        subset = subsets(number)
        check_shape("a subset", subset, image.shape[:3], f"an image batch of shape {list(image.shape)}")
        fall = before - score(outputs_of(model, jnp.where(subset[..., None], replaced, image)), chosen)
        return jnp.stack([jnp.where(subset, maps.astype(jnp.float32), 0).sum(axis=(1, 2)), fall], axis=1)

    of_subsets = jnp.moveaxis(one_by_one(of_number, (jnp.arange(samples),)), 0, -1)  # [b 2 n]
    return where_ordered(correlation(of_subsets[:, :1], of_subsets[:, 1:]), maps)


def _explained(target: Target, model: Model, image: Float[Array, "b h w c"]) -> tuple[Classes, Float[Array, " b"]]:
    """The target with the predicted class found, and its scores of the images as they are, from one forward pass."""
    outputs = outputs_of(model, image)
    chosen = fixed(one_class(target, image.shape[0]), image.shape[0], lambda: outputs)
    return chosen, score(outputs, chosen)


def _like(noise: Float[Array, "b h w c"], image: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """The noise in float32, if it has the images' shape."""
    if noise.shape != image.shape:
        raise ValueError(f"noise of shape {list(noise.shape)} does not fit images of shape {list(image.shape)}")
    return noise.astype(jnp.float32)


def _check_samples(samples: int, at_least: int = 1) -> None:
    if samples < at_least:
        raise ValueError(f"samples {samples} must be at least {at_least}")
