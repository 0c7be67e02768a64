"""Means of per-image values that merge: over batches, over devices' shards, over files."""

import flax.struct
import jax
import jax.numpy as jnp
from jaxtyping import Array, Bool, Float, Int


@flax.struct.dataclass
class Mean:
    """A mean that has not been divided yet. Two of them merge by adding their parts.

    Attributes:
      total: the sum of the values that are defined.
      count: how many these are.
      undefined: how many images the metric does not apply to (NaN).
    """

    total: Float[Array, ""]
    count: Int[Array, ""]
    undefined: Int[Array, ""]

    def merge(self, other: "Mean") -> "Mean":
        """The mean over both."""
        return jax.tree.map(jnp.add, self, other)

    @property
    def value(self) -> Float[Array, ""]:
        """total / count; NaN if nothing is defined."""
        return jnp.where(self.count > 0, self.total / jnp.maximum(self.count, 1), jnp.nan)


def mean(values: Float[Array, " b"], valid: Bool[Array, " b"] | None = None) -> Mean:
    """The mean of the values that are not NaN.

    Args:
      values: one number for each image.
      valid: False for the padding of a batch, which counts nowhere.
    """
    if valid is not None and valid.shape != values.shape:
        raise ValueError(f"valid has the shape {list(valid.shape)}, and the values have {list(values.shape)}")
    defined, nan = ~jnp.isnan(values), jnp.isnan(values)
    if valid is not None:
        defined, nan = defined & valid, nan & valid
    total = jnp.where(defined, values, 0).astype(jnp.float32).sum()
    return Mean(total, defined.sum(), nan.sum())
