"""The masker M: a small encoder-decoder from an image to a soft mask of what matters in it.

No normalisation layers: a mask is then a function of its image alone, whatever else is in the batch, and there are no
statistics that masks of warm-up could have left behind.
"""

from collections.abc import Sequence
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from flax.typing import Dtype
from jaxtyping import Array, Float

PADDING = ((1, 1), (1, 1))
DILATION = 2


class Masker(nn.Module):
    """image -> mask in [0, 1] at the image's resolution, near 0.5 before training.

    Each encoder stage halves the resolution; a dilated convolution at the coarsest one widens what a pixel of the mask
    can see; each decoder stage upsamples, adds what the encoder saw at that resolution, and convolves. The finest
    convolutions run at half the image's resolution, where XLA's CPU convolutions cost a quarter.

    Attributes:
      widths: channels of the encoder's stages, finest first.
      dtype: what the convolutions compute in; parameters and the mask are float32.

    Source: ALIGN, "Networks" (a lightweight convolutional network); its shape is a decision of this project.
    """

    widths: Sequence[int] = (16, 32, 64)
    dtype: Dtype = jnp.float32

    @nn.compact
    def __call__(self, image: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w 1"]:
        """M(x).

        Args:
          image: normalised; height and width are multiples of 2 ** len(widths).
          train: not read; every network has it.

        Raises:
          ValueError: height or width is not such a multiple.
        """
        del train
        multiple = 2 ** len(self.widths)
        height, width = image.shape[1:3]
        if height % multiple or width % multiple:
            raise ValueError(
                f"The image is {height} x {width} pixels; a masker with {len(self.widths)} widths needs multiples of "
                f"{multiple}: resize the image, or give fewer widths."
            )
        x, skips = image, []
        for stage, channels in enumerate(self.widths):
            x = nn.relu(self._conv(channels, f"encoder{stage}", strides=(2, 2))(x))
            skips.append(x)
        dilated = self._conv(self.widths[-1], "context", kernel_dilation=DILATION, padding=DILATION)
        x = nn.relu(dilated(x))
        for stage in reversed(range(len(self.widths) - 1)):
            x = jnp.concatenate([_upsample(x, *skips[stage].shape[1:3]), skips[stage]], axis=-1)
            x = nn.relu(self._conv(self.widths[stage], f"decoder{stage}")(x))
        # Small weights: sigmoid(logit) starts near 0.5, where it learns fastest, and not at a mask by chance.
        logit = self._conv(1, "mask", kernel_init=nn.initializers.normal(1e-2))(x)
        return nn.sigmoid(_upsample(logit.astype(jnp.float32), height, width))

    def _conv(self, channels: int, name: str, **fields: Any) -> nn.Conv:
        return nn.Conv(channels, (3, 3), dtype=self.dtype, name=name, **({"padding": PADDING} | fields))


def _upsample(x: Float[Array, "b h w c"], height: int, width: int) -> Float[Array, "b {height} {width} c"]:
    return jax.image.resize(x, (x.shape[0], height, width, x.shape[3]), "bilinear")
