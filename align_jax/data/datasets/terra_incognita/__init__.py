"""Terra Incognita: ten kinds of camera trap images (nine animals, and nothing) at four locations."""

from align_jax.data.datasets.terra_incognita.terra_incognita import DATASET, DOMAINS, TerraIncognita, prepare

__all__ = ["DATASET", "DOMAINS", "TerraIncognita", "prepare"]
