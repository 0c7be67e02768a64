"""The masker M: a small encoder-decoder from an image to a soft mask of what matters in it."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import flax.linen as nn
import jax
import jax.numpy as jnp
import ml_collections
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from align_jax.models.convolution import faster_convolution
from align_jax.settings import Setting

HE_NORMAL = nn.initializers.he_normal()


class EncoderDecoder(nn.Module):
    """image -> mask in [0, 1] at the image's resolution, near 0.5 before training.

    Each encoder stage halves the resolution. A dilated convolution at the coarsest one widens the receptive field. Each
    decoder stage convolves, upsamples, and concatenates the encoder's map of that resolution. It convolves *before* it
    upsamples, and ends at half the image's resolution, because convolutions on fine maps take most of a masker's time.
    At 224 pixels it has 3.4 % of ResNet-50's FLOPs.

    There are no normalisation layers: a mask is a function of its image alone, and not of the other images in its batch
    or of training statistics.

    Attributes:
      widths: channels of the encoder's stages, finest first.
      dtype: the convolutions' data type. Parameters, sigmoid and mask are at least float32.

    Source: ALIGN, "Networks" (a lightweight convolutional network); the layers are this project's decision.
    """

    widths: tuple[int, ...] = (16, 32, 64)
    dtype: DTypeLike = jnp.float32

    def setup(self) -> None:
        *skip_widths, coarsest = self.widths
        self.encoder = [self._conv(width, stride=2) for width in self.widths]
        self.context = self._conv(coarsest, dilation=2)
        self.decoder = [self._conv(width) for width in reversed(skip_widths)]
        # Small weights: the mask starts near 0.5, where the sigmoid is steepest, and not at random values.
        self.mask = self._conv(1, kernel_init=nn.initializers.normal(1e-2))

    def __call__(self, image: Float[Array, "b h w c"], train: bool) -> Float[Array, "b h w 1"]:
        """M(image).

        Args:
          image: normalised; height and width are multiples of 2 ** len(widths).
          train: unused; all networks share this signature, and a masker with dropout would read it.

        Raises:
          ValueError: height or width is not a multiple of 2 ** len(widths).
        """
        height, width = image.shape[1:3]
        multiple = 2 ** len(self.widths)
        if height % multiple or width % multiple:
            raise ValueError(
                f"A masker with {len(self.widths)} widths needs images whose sides are multiples of {multiple}, "
                f"not {height} x {width}: resize them, or give the masker fewer widths."
            )
        x, skips = image, []
        for convolve in self.encoder:
            x = nn.relu(convolve(x))
            skips.append(x)
        x = nn.relu(self.context(x))
        for convolve, skip in zip(self.decoder, reversed(skips[:-1]), strict=True):
            x = _upsample(nn.relu(convolve(x)), *skip.shape[1:3])
            x = jnp.concatenate([x, skip], axis=-1)
        logit = self.mask(x)
        logit = logit.astype(jnp.promote_types(logit.dtype, jnp.float32))
        return nn.sigmoid(_upsample(logit, height, width))

    def _conv(
        self,
        channels: int,
        stride: int = 1,
        dilation: int = 1,
        kernel_init: nn.initializers.Initializer = HE_NORMAL,
    ) -> nn.Conv:
        padding = (dilation, dilation)
        return nn.Conv(
            channels,
            kernel_size=(3, 3),
            strides=stride,
            padding=(padding, padding),
            kernel_dilation=dilation,
            dtype=self.dtype,
            kernel_init=kernel_init,
            conv_general_dilated_cls=faster_convolution,
        )


def _upsample(x: Float[Array, "b h w c"], height: int, width: int) -> Float[Array, "b {height} {width} c"]:
    return jax.image.resize(x, (x.shape[0], height, width, x.shape[3]), "bilinear")


# The old name, which earlier READMEs and tutorials imported.
Masker = EncoderDecoder


class MaskerEntry(NamedTuple):
    """A masker that a config can choose. Its name is its key in `MASKERS`.

    Attributes:
      module: from `config.masker` and the data type to compute in, to a module (image, train) -> mask.
      side_multiple: from `config.masker` to the number that an image's sides must be multiples of.
      settings: the fields of `config.masker.NAME`.
    """

    module: Callable[[ml_collections.ConfigDict, DTypeLike], nn.Module]
    side_multiple: Callable[[ml_collections.ConfigDict], int] = lambda config: 1
    settings: Mapping[str, Setting] = {}


# By `config.masker.name`.
MASKERS: dict[str, MaskerEntry] = {
    "encoder_decoder": MaskerEntry(
        lambda config, dtype: EncoderDecoder(tuple(config.widths), dtype),
        side_multiple=lambda config: 2 ** len(config.widths),
    ),
}
