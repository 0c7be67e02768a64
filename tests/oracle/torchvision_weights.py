"""Deterministic torchvision-named ResNet weights, made with numpy alone, and their place in the Linen networks.

`shapes` and `state_dict` are copied from the oracle's `weights.py`, which `align_round.npz` beside this file was made
with: a PyTorch float64 program (`align_round.py`) put these weights into torchvision's ResNets and wrote down logits,
Grad-CAMs, losses and gradients. Inputs are in that file too; its weights are `state_dict(depth, 5, seed=0)`.

Values are He-scaled noise, and the BatchNorm statistics are not trivial (mean != 0, var != 1, scale != 1), so a
swapped or transposed tensor shows up.
"""

import zlib

import numpy as np

LAYOUT = {18: ("basic", (2, 2, 2, 2)), 34: ("basic", (3, 4, 6, 3)), 50: ("bottleneck", (3, 4, 6, 3))}


def shapes(depth: int, num_classes: int) -> dict[str, tuple[int, ...]]:
    """Every entry of the state dict, in torchvision's order."""
    kind, stages = LAYOUT[depth]
    expansion = 1 if kind == "basic" else 4
    out: dict[str, tuple[int, ...]] = {}

    def conv(name, cin, cout, k):
        out[f"{name}.weight"] = (cout, cin, k, k)

    def norm(name, c):
        for leaf in ("weight", "bias", "running_mean", "running_var"):
            out[f"{name}.{leaf}"] = (c,)
        out[f"{name}.num_batches_tracked"] = ()

    conv("conv1", 3, 64, 7)
    norm("bn1", 64)
    cin = 64
    for stage, blocks in enumerate(stages, start=1):
        width = 64 * 2 ** (stage - 1)
        for block in range(blocks):
            prefix = f"layer{stage}.{block}"
            cout = width * expansion
            if kind == "basic":
                conv(f"{prefix}.conv1", cin, width, 3), norm(f"{prefix}.bn1", width)
                conv(f"{prefix}.conv2", width, width, 3), norm(f"{prefix}.bn2", width)
            else:
                conv(f"{prefix}.conv1", cin, width, 1), norm(f"{prefix}.bn1", width)
                conv(f"{prefix}.conv2", width, width, 3), norm(f"{prefix}.bn2", width)
                conv(f"{prefix}.conv3", width, cout, 1), norm(f"{prefix}.bn3", cout)
            if block == 0 and (stage > 1 or cin != cout):
                conv(f"{prefix}.downsample.0", cin, cout, 1), norm(f"{prefix}.downsample.1", cout)
            cin = cout
    out["fc.weight"] = (num_classes, cin)
    out["fc.bias"] = (num_classes,)
    return out


def state_dict(depth: int, num_classes: int, seed: int) -> dict[str, np.ndarray]:
    """{name: float32 array}; each tensor depends only on (seed, name)."""
    out = {}
    for name, shape in shapes(depth, num_classes).items():
        rng = np.random.default_rng([seed, zlib.crc32(name.encode())])
        leaf = name.rsplit(".", 1)[1]
        if leaf == "num_batches_tracked":
            value = np.asarray(1, np.int64)
        elif leaf == "running_mean":
            value = 0.1 * rng.standard_normal(shape)
        elif leaf == "running_var":
            value = rng.uniform(0.6, 1.6, shape)
        elif len(shape) == 4:
            fan_in = np.prod(shape[1:])
            value = rng.standard_normal(shape) * np.sqrt(2.0 / fan_in)
        elif name == "fc.weight":
            value = rng.standard_normal(shape) * (3.0 / np.sqrt(shape[1]))
        elif leaf == "weight":  # BatchNorm scale; small on residual branches keeps depth tame
            last = name.endswith(("bn2.weight", "bn3.weight"))
            value = rng.uniform(0.2, 0.5, shape) if last else rng.uniform(0.7, 1.3, shape)
        else:
            value = 0.1 * rng.standard_normal(shape)
        out[name] = np.asarray(value, value.dtype if leaf == "num_batches_tracked" else np.float32)
    return out


def linen_variables(weights: dict[str, np.ndarray]) -> dict[str, dict]:
    """The `params` and `batch_stats` of `align_jax.models.resnet.ResNet` that hold torchvision's `weights`.

    >>> variables = linen_variables(state_dict(18, 5, seed=0))
    >>> variables["params"]["layer2_0"]["downsample_conv"]["kernel"].shape
    (1, 1, 64, 128)
    """
    variables: dict[str, dict] = {"params": {}, "batch_stats": {}}
    for name, value in weights.items():
        *path, leaf = name.split(".")
        if leaf == "num_batches_tracked":
            continue
        if path[0].startswith("layer"):
            stage, block, *path = path
            path = {"downsample.0": ["downsample_conv"], "downsample.1": ["downsample_bn"]}.get(".".join(path), path)
            path = [f"{stage}_{block}", *path]
        if leaf.startswith("running_"):
            collection, leaf = "batch_stats", leaf.removeprefix("running_")
        else:
            collection = "params"
            if leaf == "weight":
                leaf = "scale" if value.ndim == 1 else "kernel"
            if value.ndim == 4:
                value = value.transpose(2, 3, 1, 0)  # OIHW to HWIO
            elif value.ndim == 2:
                value = value.T
        entry = variables[collection]
        for key in path:
            entry = entry.setdefault(key, {})
        entry[leaf] = value
    return variables
