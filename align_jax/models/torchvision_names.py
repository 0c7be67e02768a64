"""Conversion between our names and layout of a ResNet's tensors and torchvision's. Values stay the same."""

import re
from collections import Counter
from collections.abc import Collection, Iterable, Mapping
from typing import Any

import jax
import numpy as np

from align_jax.models.resnet import RESNETS, BasicBlock, BottleneckBlock

# From `layer1_0.downsample_conv.kernel` to `layer1.0.downsample.0.weight`.
RENAMED = (
    (r"^(layer\d+)_(\d+)\.", r"\1.\2."),
    (r"\bdownsample_conv\.", "downsample.0."),
    (r"\bdownsample_bn\.", "downsample.1."),
    (r"\.(kernel|scale)$", ".weight"),
    (r"\.(mean|var)$", r".running_\1"),
)
# Kernels by their number of dimensions; vectors stay as they are.
TO_TORCHVISION = {2: (1, 0), 4: (3, 2, 0, 1)}  # IO to OI, HWIO to OIHW
FROM_TORCHVISION = {2: (1, 0), 4: (2, 3, 1, 0)}
HEAD = ("fc.weight", "fc.bias")
# Before the names of tensors that lack the prefix of a file's network. No network has such names.
BESIDE = "beside/"


def torchvision_name(key_path: Any) -> str:
    """torchvision's name of a leaf of the params or of the batch_stats."""
    name = jax.tree_util.keystr(key_path, simple=True, separator=".")
    for ours, theirs in RENAMED:
        name = re.sub(ours, theirs, name)
    return name


def batch_counter(running_mean: str) -> str:
    return running_mean.removesuffix("running_mean") + "num_batches_tracked"


def transposed(array: np.ndarray, axes: Mapping[int, tuple[int, ...]]) -> np.ndarray:
    return array.transpose(axes[array.ndim]) if array.ndim in axes else array


def torchvision_shapes(tree: Any) -> dict[str, tuple[int, ...]]:
    """torchvision's names and shapes of the leaves."""
    return {
        torchvision_name(key_path): tuple(leaf.shape[axis] for axis in TO_TORCHVISION.get(leaf.ndim, range(leaf.ndim)))
        for key_path, leaf in jax.tree.leaves_with_path(tree)
    }


def known_names(expected: Iterable[str]) -> set[str]:
    """The names that a file may have: the network's, and torchvision's BatchNorm counters, which ours does not have."""
    names = set(expected)
    return names | {batch_counter(name) for name in names if name.endswith(".running_mean")}


def common_prefixes(names: Iterable[str], expected: Collection[str]) -> list[str]:
    """What stands before the network's names in a file, such as `backbone.`; [""] if nothing does.

    Several prefixes come before equally many names if a file holds several networks. Of MoCo's two it is the trained
    one, `encoder_q`, and not its moving average.
    """
    longest = max((name.count(".") for name in expected), default=0) + 1
    found: Counter[str] = Counter()
    for name in names:
        parts = name.split(".")
        for size in range(1, min(longest, len(parts)) + 1):
            if (end := ".".join(parts[-size:])) in expected:
                found[name.removesuffix(end)] += 1
    most = max(found.values(), default=0)
    if found[""] == most or most < len(expected) / 2:
        return [""]
    prefixes = sorted(prefix for prefix, count in found.items() if count == most)
    return [prefix for prefix in prefixes if not prefix.endswith("encoder_k.")] or prefixes


def take_head_beside(found: dict[str, Any], width: int) -> None:
    """Renames a head that lacks the prefix, as in `backbone.*` and `fc.*`, if it fits a network of this width."""
    if any(name in found or BESIDE + name not in found for name in HEAD):
        return
    weight, bias = (found[BESIDE + name].shape for name in HEAD)
    if weight == (*bias, width):
        found.update({name: found.pop(BESIDE + name) for name in HEAD})


def resembling_network(names: Iterable[str]) -> str:
    """The network of `RESNETS` that has these blocks, or ""."""
    names = list(names)
    blocks = {match.groups() for name in names if (match := re.match(r"layer([1-9])\.(\d+)\.", name))}
    sizes = tuple(sum(stage == other for other, _ in blocks) for stage in sorted({stage for stage, _ in blocks}))
    block = BottleneckBlock if any(".conv3." in name for name in names) else BasicBlock
    alike = (name for name, fields in RESNETS.items() if (fields["block"], fields["stage_sizes"]) == (block, sizes))
    return next(alike, "")
