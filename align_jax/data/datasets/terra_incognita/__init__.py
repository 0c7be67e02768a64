"""Terra Incognita: camera trap images of nine kinds of animals, or of nothing, at four locations."""

from align_jax.data.datasets.terra_incognita.terra_incognita import DATASET, DOMAINS, TerraIncognita, prepare

__all__ = ["DATASET", "DOMAINS", "TerraIncognita", "prepare"]
