"""The old place of `losses.domain_means` and `losses.mean_over_present`."""

from align_jax.losses import domain_means, mean_over_present

__all__ = ["domain_means", "mean_over_present"]
