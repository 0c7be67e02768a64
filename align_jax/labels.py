"""Labels: what a class's score is, and what happens to a label that no class has.

Outside of `jax.jit` such a label is refused. Inside, where values are unknown, whatever is computed from it is NaN, and
so are its gradients. Indexing alone would take -1 for the last class, and would give a gradient of zero.
"""

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Int, Shaped


def check_labels(label: Shaped[np.ndarray, "..."], num_classes: int) -> None:
    """Raises a ValueError if a label lies outside 0 ... k - 1."""
    if label.size and (label.min() < 0 or label.max() >= num_classes):
        raise ValueError(
            f"labels from {label.min()} to {label.max()} do not fit {num_classes} classes: they must lie in 0 to "
            f"{num_classes - 1}"
        )


def valid_or_nan(label: Int[Array, " b"], num_classes: int) -> Float[Array, " b"]:
    """1 for a label in 0 ... k - 1, else NaN: a factor for what is computed from the label.

    Raises:
      ValueError: a label lies outside, and its value is known.
    """
    if not isinstance(label, jax.core.Tracer):
        check_labels(np.asarray(label), num_classes)
    label = label.astype(jnp.promote_types(label.dtype, jnp.int32))  # 8 bits cannot hold a larger number of classes
    return jnp.where((label >= 0) & (label < num_classes), 1.0, jnp.nan)


def of_label(scores: Float[Array, "b k"], label: Int[Array, " b"]) -> Float[Array, " b"]:
    """Each example's score of its label; NaN for a label outside 0 ... k - 1.

    Raises:
      ValueError: as `valid_or_nan`.
    """
    chosen = jnp.take_along_axis(scores, label[:, None], axis=1, mode="clip")[:, 0]
    return chosen * valid_or_nan(label, scores.shape[1]).astype(scores.dtype)
