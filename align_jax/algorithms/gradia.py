"""GRADIA (Gao et al. 2022): aligns the label's Grad-CAM with a given mask, by the L1 distance."""

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.objectives import Objective, term, weighted
from align_jax.saliency import to_grid
from align_jax.settings import ZERO_OR_MORE, keyword_settings


def attention_distance(saliency: Float[Array, "b h w"], mask: Float[Array, "b H W 1"]) -> Float[Array, " b"]:
    """`mean |F+ - Phi_y(x)|` on the Grad-CAM's grid, where F+ is the mask, averaged over each cell."""
    target = to_grid(jax.lax.stop_gradient(mask), *saliency.shape[1:])
    return jnp.abs(target - saliency.astype(jnp.float32)).mean((1, 2))


def classifier_objective(*, weight: float = 1.0) -> Objective:
    """L_clf = L_cls + weight * L1."""
    return weighted(cls=term(losses.cross_entropy), attention=term(attention_distance, weight=weight))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.gradia),
    guided_terms=("attention",),
    guidance="true",
    title="GRADIA",
    settings=keyword_settings(classifier_objective, weight=ZERO_OR_MORE),
    citation="Gao et al. 2022",
)
