"""Means over domains, of which a batch may lack some: what losses over domains are made of."""

import jax.numpy as jnp
from jaxtyping import Array, Bool, Float


def domain_means(values: Float[Array, " b"], membership: Bool[Array, "d b"]) -> Float[Array, " d"]:
    """Each domain's mean; 0 for a domain that the batch lacks."""
    return jnp.where(membership, values[None, :], 0.0).sum(1) / jnp.maximum(membership.sum(1), 1)


def mean_over_present(values: Float[Array, " d"], membership: Bool[Array, "d b"]) -> Float[Array, ""]:
    """The mean over the domains that the batch has."""
    present = membership.any(1)
    return jnp.where(present, values, 0.0).sum() / jnp.maximum(present.sum(), 1)
