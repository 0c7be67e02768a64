"""Mixup between domains (Yan et al. 2020; Zhang et al. 2018) as in DomainBed. Labels may differ, unlike in DRE's."""

from collections.abc import Callable

import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int, Key

from align_jax import losses
from align_jax.algorithms.algorithm import Algorithm
from align_jax.mixup import mix
from align_jax.objectives import Objective, term, weighted
from align_jax.settings import POSITIVE, keyword_settings


def next_domain_partner(key: Key[Array, ""], membership: Bool[Array, "d b"]) -> Int[Array, " b"]:
    """For each example, the example at the same place of the next domain, in a random cycle of the batch's domains.

    The examples of a shorter domain are used again in turn. With one domain each example is its own partner.
    """
    domains = membership.shape[0]
    count = membership.sum(1)
    place = jnp.take_along_axis(jnp.cumsum(membership, axis=1) - 1, membership.argmax(0)[None], axis=0)[0]
    # Absent domains sort to the end, so that the cycle runs over the others alone.
    order = jnp.argsort(jax.random.uniform(key, (domains,)) + 2.0 * (count == 0))
    rank = jnp.argsort(order)
    following = order[(rank + 1) % jnp.maximum((count > 0).sum(), 1)]
    domain = following[membership.argmax(0)]
    # The members of each domain first, in the batch's order.
    members = jnp.argsort(~membership, axis=1, stable=True)
    return members[domain, place % jnp.maximum(count[domain], 1)]


def classifier_objective(*, concentration: float = 0.2) -> Objective:
    """L_clf = lambda CE(f(x~), y_i) + (1 - lambda) CE(f(x~), y_j), `x~ = lambda x_i + (1 - lambda) x_j`.

    x_j is of another domain; lambda ~ Beta(concentration, concentration), one for each pair of domains.
    """

    def mixed_cross_entropy(
        image: Float[Array, "b h w c"],
        label: Int[Array, " b"],
        membership: Bool[Array, "d b"],
        classify: Callable[[Float[Array, "b h w c"]], Float[Array, "b k"]],
        random_key: Key[Array, ""],
    ) -> Float[Array, " b"]:
        cycle_key, share_key = jax.random.split(random_key)
        partner = next_domain_partner(cycle_key, membership)
        shares = jax.random.beta(share_key, concentration, concentration, (membership.shape[0],), jnp.float32)
        share = shares[membership.argmax(0)]
        logits = classify(mix(image, partner, share))
        return share * losses.cross_entropy(logits, label) + (1 - share) * losses.cross_entropy(logits, label[partner])

    return weighted(cls=term(mixed_cross_entropy))


ALGORITHM = Algorithm(
    lambda config: classifier_objective(**config.mixup),
    title="Mixup",
    settings=keyword_settings(classifier_objective, concentration=POSITIVE),
    citation="Yan et al. 2020; Zhang et al. 2018",
)
