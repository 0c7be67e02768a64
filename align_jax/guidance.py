"""Where guiding masks come from: one setting, `config.guidance`, for every method that uses masks.

| guidance | masks | the paper's name |
|---|---|---|
| `learned` | the masker's, trained in turn with the classifier | ALIGN |
| `true` | the data set's own | - |
| `folder` | files made elsewhere, `config.data.mask_folder/ID.png` | m-SAM |
| `grey` | the image's luminance | m-Gray |
| `none` | none: the guided terms are left out | w/o EG |

The weight of ALIGN's guidance is another setting, `config.align.classifier.guidance`: the paper's l3.
"""

from collections.abc import Callable

import jax.numpy as jnp
from jaxtyping import Array, Float

from align_jax.forward import Batch, Mask
from align_jax.preprocessing import IMAGENET

GUIDANCES = ("learned", "true", "folder", "grey", "none")

# Weights of red, green and blue, as in ITU-R BT.601 and Pillow.
LUMINANCE = (0.299, 0.587, 0.114)


def grey_mask(image: Float[Array, "b h w 3"]) -> Float[Array, "b h w 1"]:
    """A normalised image's luminance in [0, 1]: bright pixels count as important.

    Source: ALIGN's ablation m-Gray.
    """
    pixels = IMAGENET.denormalise(image)
    return jnp.clip(pixels @ jnp.array(LUMINANCE), 0.0, 1.0)[..., None]


def given_masks(guidance: str) -> Callable[[Batch], Mask] | None:
    """A function from a batch to its guiding masks; None if they are learned, or if nothing guides."""
    if guidance == "grey":
        return lambda batch: grey_mask(batch["image"])
    if guidance in ("true", "folder"):
        return lambda batch: batch["mask"]
    return None


def reads_masks(guidance: str) -> bool:
    """Whether batches must contain `mask`."""
    return guidance in ("true", "folder")
