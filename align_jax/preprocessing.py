"""The normalisation of a model's images, as one value: overlays, fills and baselines need it too."""

import dataclasses
from collections.abc import Sequence

import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float, Shaped


@dataclasses.dataclass(frozen=True)
class Preprocessing:
    """What a model's images were normalised with: `(x - mean) / std` for each channel of x in [0, 1].

    It is hashable, so that a compiled function can take it as a static argument.

    Attributes:
      mean: of each channel, on the scale of [0, 1].
      std: of each channel, on the same scale, and above 0.

    Raises:
      ValueError: lengths that differ, no channel, or a number that is not finite or, as a standard deviation, not
        positive.
    """

    mean: Sequence[float]
    std: Sequence[float]

    def __post_init__(self) -> None:
        mean, std = (tuple(float(value) for value in values) for values in (self.mean, self.std))
        if not mean or len(mean) != len(std):
            raise ValueError(
                f"mean has {len(mean)} channels and std {len(std)}: give as many numbers in each as an image has "
                "channels, such as mean=(0.5, 0.5, 0.5), std=(0.5, 0.5, 0.5)"
            )
        if not np.isfinite(mean + std).all():
            raise ValueError(f"mean {mean} and std {std} must be finite")
        if min(std) <= 0:
            raise ValueError(f"std {std} must be positive: what is divided by it would have no bound")
        object.__setattr__(self, "mean", mean)
        object.__setattr__(self, "std", std)

    def normalise(self, image: Shaped[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
        """`(x - mean) / std` in float32.

        Args:
          image: x, floats in [0, 1], or uint8 from 0 to 255.

        Raises:
          TypeError: other integers, whose range is not known.
          ValueError: another number of channels.
        """
        if image.dtype == jnp.uint8:
            image = image.astype(jnp.float32) / 255
        elif not jnp.issubdtype(image.dtype, jnp.floating):
            raise TypeError(f"an image of type {image.dtype} has no known range: give uint8, or floats in [0, 1]")
        mean, std = self.channels(image)
        return (image.astype(jnp.float32) - mean) / std

    def denormalise(self, image: Float[Array, "*b h w c"]) -> Float[Array, "*b h w c"]:
        """The inverse of `normalise`, `x std + mean`, in float32. It is in [0, 1] where the image came from there.

        Raises:
          ValueError: another number of channels.
        """
        mean, std = self.channels(image)
        return image.astype(jnp.float32) * std + mean

    def black(self) -> Float[Array, " c"]:
        """A black pixel after `normalise`: `-mean / std`."""
        return -jnp.array(self.mean, jnp.float32) / jnp.array(self.std, jnp.float32)

    def channels(self, image: Shaped[Array, "*b h w c"]) -> tuple[Float[Array, " c"], Float[Array, " c"]]:
        """Mean and standard deviation of the image's channels, in float32.

        Raises:
          ValueError: another number of channels.
        """
        if image.shape[-1:] != (len(self.mean),):
            raise ValueError(
                f"an image of shape {list(image.shape)} does not have {len(self.mean)} channels, which {self} is for: "
                "channels are the last axis, [b h w c]"
            )
        return jnp.array(self.mean, jnp.float32), jnp.array(self.std, jnp.float32)


# The statistics of ImageNet's RGB channels, which pretrained backbones expect.
IMAGENET = Preprocessing(mean=(0.485, 0.456, 0.406), std=(0.229, 0.224, 0.225))
