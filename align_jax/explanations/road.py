"""ROAD: removed pixels are filled in smoothly from around them, so that removal itself does not give the class away.

Each removed pixel becomes the weighted mean of its eight neighbours, 1/6 beside and 1/12 at the corners, of which the
removed ones are unknown, too: a linear system, which is solved for all removed pixels at once. At the border, where
neighbours are missing, the weights of the others are divided by their sum. Then noise is added.

Source: Rong et al., A consistent and efficient evaluation strategy for attribution methods (ICML 2022), section 4.2.
"""

import functools

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Key

from align_jax.explanations.curves import Probabilities
from align_jax.explanations.keys import keys_of
from align_jax.explanations.maps import check_map, check_shape, pixel_ranks, where_ordered
from align_jax.saliency.passes import one_by_one
from align_jax.saliency.targets import Target, class_outputs, one_class, predicted, score

BESIDE, DIAGONAL = 1 / 6, 1 / 12


def imputed(
    image: Float[Array, "b h w c"],
    removed: Bool[Array, "b h w"],
    noise: Float[Array, "b h w c"] | float = 0.0,
    tolerance: float = 1e-6,
) -> Float[Array, "b h w c"]:
    """The images with their removed pixels filled in from around them; the others stay as they are.

    The system is symmetric and positive definite, and is solved by conjugate gradients. An image of which everything is
    removed becomes its own mean.

    Args:
      image: as the model sees them.
      removed: the pixels, which go with all their channels.
      noise: added to the removed pixels; the authors add normal noise with a standard deviation of 0.01.
      tolerance: the residual's norm, relative to that of the right-hand side.

    Raises:
      ValueError: shapes that do not fit.
    """
    check_shape("the removed pixels", removed, image.shape[:3], f"an image batch of shape {list(image.shape)}")
    # About its mean, the image has the smallest values that the solver's error could be relative to.
    mean = image.astype(jnp.float32).mean(axis=(1, 2), keepdims=True)
    filled = mean + _solved(image.astype(jnp.float32) - mean, removed, tolerance)
    filled = jnp.where(removed.all(axis=(1, 2))[:, None, None, None], mean, filled)
    return jnp.where(removed[..., None], filled + noise, image).astype(image.dtype)


def road(
    probabilities: Probabilities,
    image: Float[Array, "b h w c"],
    maps: Float[Array, "b h w"],
    target: Target = "predicted",
    *,
    fractions: tuple[float, ...] = (0.2, 0.5, 0.8),
    most_relevant_first: bool = True,
    noise: float = 0.01,
    key: Key[Array, "*b"] | None = None,
) -> Float[Array, "b n"]:
    """p_c once a fraction of the pixels is removed and filled in smoothly.

    Args:
      probabilities: images to class probabilities, each image on its own.
      image: as the model sees them.
      maps: one for each image at its resolution; only the order of its values counts.
      target: see `saliency.targets`; one class an image.
      fractions: of the pixels that are removed, each in (0, 1); the count is rounded to the nearest.
      most_relevant_first: remove the top of the map (low is better), or its bottom (high is better).
      noise: standard deviation of what is added to the removed pixels; 0 needs no key.
      key: of the noise; of the batch, or one for each image.

    Returns:
      One value for each image and fraction; NaN where the map orders no pixels.

    Raises:
      ValueError: a fraction outside (0, 1), noise without a key, or shapes that do not fit. And those of
        `saliency.targets`.
    """
    check_map(maps, image)
    if not fractions or not all(0 < fraction < 1 for fraction in fractions):
        raise ValueError(f"fractions {fractions} must be one or more numbers between 0 and 1, such as (0.2, 0.5, 0.8)")
    if key is None:
        if noise:
            raise ValueError(f"noise {noise} needs a key: give key=jax.random.key(0), or noise=0")
        key = jax.random.key(0)  # nothing is drawn from it
    classes = one_class(target, image.shape[0])
    if isinstance(classes, str):
        classes = predicted(class_outputs(probabilities(image)))
    pixels = image.shape[1] * image.shape[2]
    rank = pixel_ranks(maps) if most_relevant_first else pixels - 1 - pixel_ranks(maps)

    def of_count(number: Array, count: Array) -> Float[Array, " b"]:
        normal = lambda key: jax.random.normal(jax.random.fold_in(key, number), image.shape[1:])  # noqa: E731
        added = noise * jax.vmap(normal)(keys_of(key, image.shape[0])) if noise else 0.0
        shown = imputed(image, rank < count, added)
        return score(probabilities(shown).astype(jnp.float32), classes)

    counts = jnp.array([round(fraction * pixels) for fraction in fractions])
    return where_ordered(one_by_one(of_count, (jnp.arange(len(fractions)), counts)).T, maps)


@functools.partial(jax.jit, static_argnames="tolerance")
def _solved(image: Float[Array, "b h w c"], removed: Bool[Array, "b h w"], tolerance: float) -> Float[Array, "b h w c"]:
    """Compiled once, since the solver's loop is a program."""
    return jax.vmap(functools.partial(_solved_image, tolerance=tolerance))(image, removed)


def _solved_image(image: Float[Array, "h w c"], removed: Bool[Array, "h w"], tolerance: float) -> Float[Array, "h w c"]:
    """(D - W) v = W x on the removed pixels, with W the neighbours' weights and D their sums at each pixel."""
    unknown = removed[..., None].astype(jnp.float32)
    weight_sum = _of_neighbours(jnp.ones((*image.shape[:2], 1)))

    def applied(values: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
        inside = unknown * values
        # The identity on the known pixels keeps the system positive definite; their solution is 0.
        return unknown * (weight_sum * inside - _of_neighbours(inside)) + (1 - unknown) * values

    known = jnp.where(removed[..., None], 0.0, image)
    solution, _ = jax.scipy.sparse.linalg.cg(applied, unknown * _of_neighbours(known), tol=tolerance)
    return solution


def _of_neighbours(values: Float[Array, "h w c"]) -> Float[Array, "h w c"]:
    """The weighted sum of each pixel's neighbours; those outside the image count 0."""
    padded = jnp.pad(values, ((1, 1), (1, 1), (0, 0)))
    beside = padded[:-2, 1:-1] + padded[2:, 1:-1] + padded[1:-1, :-2] + padded[1:-1, 2:]
    corners = padded[:-2, :-2] + padded[:-2, 2:] + padded[2:, :-2] + padded[2:, 2:]
    return BESIDE * beside + DIAGONAL * corners
