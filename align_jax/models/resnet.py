"""ResNets as torchvision builds them, split where Grad-CAM reads: `features`, then `head`.

He et al., "Deep Residual Learning for Image Recognition" (2016), in torchvision's version ("v1.5"): a bottleneck's 3x3
convolution has the stride. Every padding is explicit, because `"SAME"` would pad a strided convolution on one side only
and move its map by a pixel. Parameters have torchvision's names, with list indices joined by an underscore:
`layer1.0.conv1.weight` is `params/layer1_0/conv1/kernel`.
"""

from collections.abc import Callable
from typing import Any

import flax.linen as nn
import jax
import jax.numpy as jnp
from jax.ad_checkpoint import checkpoint_name
from jax.typing import DTypeLike
from jaxtyping import Array, Float

from align_jax.models.convolution import faster_convolution
from align_jax.models.pooling import max_pool

# The mark of a convolution's result.
CONVOLUTION = "convolution"
IS_CONVOLUTION = jax.checkpoint_policies.save_only_these_names(CONVOLUTION)


def _conv(channels: int, kernel: int, dtype: DTypeLike, stride: int = 1) -> nn.Conv:
    """A bias-free convolution whose map has side ceil(side / stride), padded as PyTorch models pad it."""
    overhang = (kernel - stride + 1) // 2
    return nn.Conv(
        features=channels,
        kernel_size=(kernel, kernel),
        strides=(stride, stride),
        padding=((overhang, overhang), (overhang, overhang)),
        use_bias=False,
        dtype=dtype,
        kernel_init=nn.initializers.variance_scaling(2.0, "fan_out", "normal"),  # He, by fan-out
        conv_general_dilated_cls=faster_convolution,
    )


def _batch_norm(dtype: DTypeLike) -> nn.BatchNorm:
    """Flax's momentum is the share of the old value: 0.9 is PyTorch's 0.1. Statistics are float32 whatever `dtype`.

    One difference remains: the stored variance is the batch's own; PyTorch stores n / (n - 1) times that.
    """
    return nn.BatchNorm(momentum=0.9, epsilon=1e-5, dtype=dtype)


class BasicBlock(nn.Module):
    """Two 3x3 convolutions around a shortcut (ResNet-18 and -34)."""

    width: int
    stride: int = 1
    project: bool = False
    dtype: DTypeLike = jnp.float32

    expansion = 1

    def setup(self) -> None:
        self.conv1 = _conv(self.width, 3, self.dtype, self.stride)
        self.bn1 = _batch_norm(self.dtype)
        self.conv2 = _conv(self.width, 3, self.dtype)
        self.bn2 = _batch_norm(self.dtype)
        if self.project:
            self.downsample_conv = _conv(self.width, 1, self.dtype, self.stride)
            self.downsample_bn = _batch_norm(self.dtype)

    def __call__(self, x: Float[Array, "b h w c"], stored: bool) -> Float[Array, "b h2 w2 c2"]:
        """`stored`: normalise with the stored statistics instead of the batch's."""
        shortcut = self.downsample_bn(_kept(self.downsample_conv(x)), stored) if self.project else x
        x = nn.relu(self.bn1(_kept(self.conv1(x)), stored))
        return nn.relu(shortcut + self.bn2(_kept(self.conv2(x)), stored))


class BottleneckBlock(nn.Module):
    """1x1 down, 3x3 (which has the stride), 1x1 up to four times the width (ResNet-50)."""

    width: int
    stride: int = 1
    project: bool = False
    dtype: DTypeLike = jnp.float32

    expansion = 4

    def setup(self) -> None:
        self.conv1 = _conv(self.width, 1, self.dtype)
        self.bn1 = _batch_norm(self.dtype)
        self.conv2 = _conv(self.width, 3, self.dtype, self.stride)
        self.bn2 = _batch_norm(self.dtype)
        self.conv3 = _conv(self.width * self.expansion, 1, self.dtype)
        self.bn3 = _batch_norm(self.dtype)
        if self.project:
            self.downsample_conv = _conv(self.width * self.expansion, 1, self.dtype, self.stride)
            self.downsample_bn = _batch_norm(self.dtype)

    def __call__(self, x: Float[Array, "b h w c"], stored: bool) -> Float[Array, "b h2 w2 c2"]:
        """`stored`: normalise with the stored statistics instead of the batch's."""
        shortcut = self.downsample_bn(_kept(self.downsample_conv(x)), stored) if self.project else x
        x = nn.relu(self.bn1(_kept(self.conv1(x)), stored))
        x = nn.relu(self.bn2(_kept(self.conv2(x)), stored))
        return nn.relu(shortcut + self.bn3(_kept(self.conv3(x)), stored))


def _kept(x: Float[Array, "b h w c"]) -> Float[Array, "b h w c"]:
    """The result of a convolution, marked as what a lean pass keeps."""
    return checkpoint_name(x, CONVOLUTION)


def _is_kept(primitive: Any, *arguments: Any, **parameters: Any) -> bool:
    """Whether a lean pass keeps a result: a convolution's, or a sum over the batch for its statistics."""
    return primitive.name == "reduce_sum" or IS_CONVOLUTION(primitive, *arguments, **parameters)


# (module, map, stored) -> map: what a part of a network, its stem or a block, is made of.
Part = Callable[[Any, Array, bool], Array]


# What a pass keeps of each part for the gradient: everything, what convolutions return, or the part's input alone.
# `stored` is argument 2: a part asks whether it is true, and so it must not be traced.
def _keeping_all(part: Part) -> Part:
    return part


def _keeping_convolutions(part: Part) -> Part:
    return nn.remat(part, policy=_is_kept, static_argnums=(2,))


def _keeping_inputs(part: Part) -> Part:
    return nn.remat(part, static_argnums=(2,))


class ResNet(nn.Module):
    """A classifier f = head(features(image)); `resnet("resnet50", num_classes)` builds a named one.

    Attributes:
      num_classes: how many logits the head has.
      block: `BasicBlock` or `BottleneckBlock`.
      stage_sizes: blocks in each stage.
      stage_widths: the blocks' width in each stage; a bottleneck returns four times as many channels.
      stage_strides: stride of the first block of each stage.
      stem_kernel, stem_stride, stem_pool: the first convolution, and whether a 3x3 max-pool of stride 2 follows.
      freeze_batch_norm: normalise with the stored statistics even where `train` is true.
      dtype: the backbone's data type. Parameters, statistics, pooling, head and logits are at least float32.
      remat: keep of the stem and of each block only the input for the gradient, which computes them a second time.
        Parameters have the same names and values; results differ by a rounding.
    """

    num_classes: int
    block: type[BasicBlock] | type[BottleneckBlock] = BasicBlock
    stage_sizes: tuple[int, ...] = (2, 2, 2, 2)
    stage_widths: tuple[int, ...] = (64, 128, 256, 512)
    stage_strides: tuple[int, ...] = (1, 2, 2, 2)
    stem_kernel: int = 7
    stem_stride: int = 2
    stem_pool: bool = True
    freeze_batch_norm: bool = False
    dtype: DTypeLike = jnp.float32
    remat: bool = False

    def setup(self) -> None:
        stem_width = self.stage_widths[0]
        self.conv1 = _conv(stem_width, self.stem_kernel, self.dtype, self.stem_stride)
        self.bn1 = _batch_norm(self.dtype)
        channels = stem_width
        stages = zip(self.stage_sizes, self.stage_widths, self.stage_strides, strict=True)
        for number, (size, width, stride) in enumerate(stages, start=1):
            outputs = width * self.block.expansion
            first = self.block(width, stride, project=stride != 1 or channels != outputs, dtype=self.dtype)
            rest = [self.block(width, dtype=self.dtype) for _ in range(size - 1)]
            setattr(self, f"layer{number}", [first, *rest])
            channels = outputs
        self.fc = nn.Dense(self.num_classes)

    def features(self, image: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b h2 w2 c"]:
        """The last convolutional map, which Grad-CAM reads: channels last, in `dtype`.

        With `train`, BatchNorm normalises with this batch's statistics (under `jit` over a mesh: the global batch's)
        and updates the stored ones, so `batch_stats` must be mutable in `apply`. Otherwise, and always with
        `freeze_batch_norm`, it uses the stored ones and does not change them.
        """
        return self._features(image, train, _keeping_inputs if self.remat else _keeping_all)

    def lean_features(self, image: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b h2 w2 c"]:
        """As `features`; only what convolutions return is kept for the gradient, about a third of all.

        The rest, BatchNorm and ReLU, is cheap to compute a second time. `remat` leaves out still more.
        """
        return self._features(image, train, _keeping_inputs if self.remat else _keeping_convolutions)

    def _features(self, image: Array, train: bool, keeping: Callable[[Part], Part]) -> Array:
        stored = not train or self.freeze_batch_norm
        x = keeping(type(self)._stem)(self, image, stored)
        for number in range(1, len(self.stage_sizes) + 1):
            for block in getattr(self, f"layer{number}"):
                x = keeping(type(block).__call__)(block, x, stored)
        return x

    def _stem(self, image: Array, stored: bool) -> Array:
        x = nn.relu(self.bn1(_kept(self.conv1(image)), stored))
        if self.stem_pool:
            x = max_pool(x, side=3, stride=2, padding=1)
        return x

    def head(self, features: Float[Array, "b h w c"]) -> Float[Array, "b k"]:
        """Logits: global average pooling and one linear layer, in float32 even where the map is bfloat16."""
        pooled = jnp.mean(features, axis=(1, 2), dtype=jnp.promote_types(features.dtype, jnp.float32))
        return self.fc(pooled)

    def __call__(self, image: Float[Array, "b h w 3"], train: bool) -> Float[Array, "b k"]:
        """Logits of the image: `head(features(image, train))`."""
        return self.head(self.features(image, train))


# For images of 32 to 96 pixels; among designs that learn equally well, the one with the fastest training step on CPUs
# under XLA's own convolutions and max-pooling, before `convolution.py` and `pooling.py`.
# The stem reads patches of 4 x 4 pixels, so at 64 pixels no convolution runs on a map above 16 x 16, where XLA's weight
# gradients are slow. There is no max-pool, whose gradient is slower still. The last map, 8 x 8 at 64 pixels and 4 x 4
# at 32, is fine enough for Grad-CAM, and above the 2 x 2 at which XLA's CPU convolutions become sixty times slower.
SMALL: dict[str, Any] = {
    "block": BasicBlock,
    "stage_sizes": (1, 2, 1),
    "stage_widths": (32, 64, 128),
    "stage_strides": (1, 2, 1),
    "stem_kernel": 4,
    "stem_stride": 4,
    "stem_pool": False,
}

# For precise Grad-CAMs: a cell of its last map sees 36 x 36 pixels, and a cell of the small network's 108 x 108, so
# evidence comes from near its cell. One 3 x 3 convolution a stage, after BagNets (Brendel and Bethge 2019).
LOCAL = SMALL | {"block": BottleneckBlock, "stage_sizes": (1, 1, 1)}

RESNETS: dict[str, dict[str, Any]] = {
    "resnet18": {"block": BasicBlock, "stage_sizes": (2, 2, 2, 2)},
    "resnet34": {"block": BasicBlock, "stage_sizes": (3, 4, 6, 3)},
    "resnet50": {"block": BottleneckBlock, "stage_sizes": (3, 4, 6, 3)},
    "resnet_small": SMALL,
    "resnet_local": LOCAL,
}


def resnet(
    name: str,
    num_classes: int,
    *,
    freeze_batch_norm: bool = False,
    dtype: DTypeLike = jnp.float32,
    remat: bool = False,
) -> ResNet:
    """A ResNet by name.

    Args:
      name: one of `RESNETS`; the numbered ones are torchvision's, the other two are for small images.
      num_classes: how many logits the head has.
      freeze_batch_norm: normalise with the stored statistics even in training.
      dtype: the backbone's data type.
      remat: keep of each block only its input for the gradient.

    Raises:
      ValueError: no network has that name.
    """
    if name not in RESNETS:
        raise ValueError(f"There is no network {name!r}; choose one of {', '.join(RESNETS)}.")
    return ResNet(num_classes, **RESNETS[name], freeze_batch_norm=freeze_batch_norm, dtype=dtype, remat=remat)
