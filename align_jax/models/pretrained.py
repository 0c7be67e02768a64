"""ResNet weights in torchvision's format: `.safetensors` files with torchvision's names, which timm shares.

`load_weights` reads such a file into the networks of `align_jax.models.resnet`. `save_weights` writes one that
torchvision's own `load_state_dict` takes. Names and layout are converted (`torchvision_names`); values stay the same. A
file is not trusted: its header is checked before anything is read, and pickles, which run code when they are opened,
are refused.
"""

import hashlib
import re
import shlex
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import huggingface_hub
import huggingface_hub.errors
import jax
import jax.numpy as jnp
import numpy as np
import safetensors
import safetensors.numpy

from align_jax.errors import UserError, listed
from align_jax.models.torchvision_names import (
    BESIDE,
    FROM_TORCHVISION,
    HEAD,
    TO_TORCHVISION,
    batch_counter,
    common_prefixes,
    known_names,
    resembling_network,
    take_head_beside,
    torchvision_name,
    torchvision_shapes,
    transposed,
)
from align_jax.networks import BatchStats, Params
from align_jax.runtime.files import write_atomically

# Prefixes that DataParallel, Lightning and torch.compile put before the names.
WRAPPERS = r"^((module|model|_orig_mod)\.)+"

# The value of config.classifier.pretrained for this file; the ATTRIBUTION.md beside it names its training images.
EMOJI = "emoji"
EMOJI_BACKBONE = Path(__file__).parent / "emoji_backbone" / "resnet_small.safetensors"

Shapes = Mapping[str, tuple[int, ...]]

FLOATS = ("F16", "BF16", "F32", "F64")
PICKLES = (".pth", ".pt", ".bin", ".ckpt", ".pkl", ".pickle", ".tar")
CONVERSION = (
    'python -c "import sys, torch, safetensors.torch as s; '
    "d = torch.load(sys.argv[1], map_location='cpu', weights_only=True); "
    "d = next((d[k] for k in ('state_dict', 'model_dict', 'model') if k in d), d); "
    's.save_file({k: v.contiguous().clone() for k, v in d.items()}, sys.argv[2])"'
)


class Loaded(NamedTuple):
    """Weights from a file, and how each tensor was used.

    Attributes:
      params, batch_stats: the network's, in its own data types.
      path: the file.
      sha256: the file's, in hexadecimal.
      taken: how many of the network's tensors came from the file.
      replaced: the network's tensors that kept their initial values (the head's, or none), and why.
      ignored: the file's tensors that the network does not have; BatchNorm's counters of batches are not listed.
      prefix: what stood before the network's names in the file, such as `backbone.`.
    """

    params: Params
    batch_stats: BatchStats
    path: Path
    sha256: str
    taken: int
    replaced: dict[str, str]
    ignored: tuple[str, ...]
    prefix: str

    def summary(self) -> str:
        """One line for the user."""
        parts = [f"{self.taken} tensors from {self.path} (sha256 {self.sha256})"]
        if self.prefix:
            parts.append(f"their names without {self.prefix!r}")
        if self.replaced:
            parts.append(f"{', '.join(self.replaced)} newly initialised ({next(iter(self.replaced.values()))})")
        if self.ignored:
            parts.append(f"in the file but not in the network: {listed(list(map(repr, self.ignored)))}")
        return "; ".join(parts) + "."


class _Tensor(NamedTuple):
    """A tensor as the file's header lists it: its name, its shape, and safetensors' name of its data type."""

    name: str
    shape: tuple[int, ...]
    dtype: str


def locate(source: str) -> Path:
    """The file that `source` names; it is fetched if necessary.

    Args:
      source: a path; "emoji" for the backbone of `resnet_small` that comes with this package; "hf:OWNER/NAME" for that
        repository's `model.safetensors` on the Hugging Face hub, which is fetched once and then read from
        `huggingface_hub`'s cache.

    Raises:
      UserError: no such file; no such repository; no network and no copy in the cache.
    """
    if source == EMOJI:
        return EMOJI_BACKBONE
    if not source.startswith("hf:"):
        path = Path(source)
        if not path.is_file():
            raise UserError(
                f"There is no file {source!r} with pretrained weights; give a .safetensors file's path, "
                "hf:OWNER/NAME, such as hf:timm/resnet50.tv_in1k, for one on the Hugging Face hub, or emoji for the "
                "resnet_small that comes with this package."
            )
        return path
    repository = source.removeprefix("hf:")
    if not re.fullmatch(r"[\w.-]+/[\w.-]+", repository):
        raise UserError(f"{source!r} is not a repository; write hf:OWNER/NAME, such as hf:timm/resnet50.tv_in1k.")
    try:
        return Path(huggingface_hub.hf_hub_download(repository, "model.safetensors"))
    except Exception as error:  # the errors of the hub's HTTP client have no common class
        match error:
            case huggingface_hub.errors.RemoteEntryNotFoundError():
                reason = "the repository has no model.safetensors"
            case huggingface_hub.errors.RepositoryNotFoundError():
                reason = "there is no such repository, or it is private"
            case huggingface_hub.errors.LocalEntryNotFoundError():
                reason = "the hub cannot be reached, and the cache has no copy"
            case _:
                reason = " ".join(str(error).split()) or type(error).__name__
        raise UserError(
            f"{source} could not be fetched ({reason}); correct that, or give the path of a .safetensors file."
        ) from error


def load_weights(path: Path, params: Params, batch_stats: BatchStats) -> Loaded:
    """Reads a ResNet's weights: every tensor except the head's must be in the file, with the network's shape.

    The head is read if the numbers of classes agree; otherwise, or if the file has none, it keeps its initial values.
    Half and double precision are cast to the network's data type. Names may begin with `module.` or `model.`, and then
    with one prefix that all have, such as `backbone.`. BatchNorm's counters of batches may be absent. Tensors outside
    the backbone are ignored; further tensors inside it, such as more blocks, mean that the file is of another network.

    Args:
      path: a .safetensors file with torchvision's names, which timm's ResNets share; it need not be trusted.
      params, batch_stats: a freshly initialised network's.

    Raises:
      UserError: a missing or malformed file, a pickle, or the weights of another network, or of several.
    """
    if path.suffix.lower() in PICKLES:
        raise _pickle_refused(path)
    try:
        # Not mapped into memory: a file that shrinks under a mapping ends the process.
        with safetensors.safe_open(path, framework="numpy", backend="pread") as file:
            expected = {**torchvision_shapes(params), **torchvision_shapes(batch_stats)}
            prefix = _prefix(file, expected, path)
            found = _tensors(file, prefix, path)
            take_head_beside(found, width=expected["fc.weight"][1])
            replaced = _new_head(found, expected)
            _check_fit(found, expected, replaced, path)

            def value(key_path: Any, initial: Any) -> Any:
                name = torchvision_name(key_path)
                if name in replaced:
                    return initial
                return jnp.array(transposed(_read(file, found[name], path), FROM_TORCHVISION), initial.dtype)

            params = jax.tree.map_with_path(value, params)
            batch_stats = jax.tree.map_with_path(value, batch_stats)
        # Only now: a file that is none, but has a size of terabytes, would be read to its end.
        with path.open("rb") as content:
            sha256 = hashlib.file_digest(content, "sha256").hexdigest()
    except safetensors.SafetensorError as error:
        with path.open("rb") as content:
            start = content.read(4)
        if start[:1] == b"\x80" or start == b"PK\x03\x04":  # a pickle's first opcode, or torch.save's archive
            raise _pickle_refused(path) from error
        reason = str(error).removeprefix("Error while deserializing header: ")
        raise UserError(f"{path} is not a complete safetensors file ({reason}); fetch it again.") from error
    except OSError as error:
        raise UserError(f"{path} could not be read: {error.strerror or error}.") from error
    known = known_names(expected)
    ignored = tuple(sorted(tensor.name for name, tensor in found.items() if name not in known))
    return Loaded(params, batch_stats, path, sha256, len(expected) - len(replaced), replaced, ignored, prefix)


def save_weights(path: Path, params: Params, batch_stats: BatchStats) -> Path:
    """Writes a ResNet's weights in float32 with torchvision's names, shapes and counters, whole or not at all.

    `torchvision.models.resnet50(num_classes=...).load_state_dict(safetensors.torch.load_file(path))` takes them, and
    so does `load_weights`, bit for bit.

    Raises:
      UserError: the name does not end in .safetensors.
    """
    if path.suffix != ".safetensors":
        raise UserError(f"{path} cannot hold weights: its name must end in .safetensors.")
    tensors: dict[str, np.ndarray] = {}
    for key_path, leaf in jax.tree.leaves_with_path(params) + jax.tree.leaves_with_path(batch_stats):
        name = torchvision_name(key_path)
        tensors[name] = np.ascontiguousarray(transposed(np.asarray(leaf, np.float32), TO_TORCHVISION))
        if name.endswith(".running_mean"):
            tensors[batch_counter(name)] = np.asarray(0, np.int64)
    # Some loaders refuse a file that is not marked as PyTorch's layout.
    return write_atomically(path, safetensors.numpy.save(tensors, metadata={"format": "pt"}))


def _prefix(file: Any, expected: Collection[str], path: Path) -> str:
    """What stands before the network's names, behind any wrapper's."""
    names = {re.sub(WRAPPERS, "", name): name for name in file.keys()}  # noqa: SIM118  # not a mapping
    first, *others = common_prefixes(names, expected)
    pairs = [(names.get(first + name), names.get(other + name)) for other in others for name in expected]
    # DomainBed's files hold one network under two names.
    if any(not np.array_equal(file.get_tensor(one), file.get_tensor(two)) for one, two in pairs if one and two):
        raise UserError(f"{path} holds several networks, under {listed([first, *others])}; keep one of them.")
    return first


def _tensors(file: Any, prefix: str, path: Path) -> dict[str, _Tensor]:
    """The tensors in the file's header, by torchvision's name; those without the prefix by one that no network has."""
    found: dict[str, _Tensor] = {}
    for name in file.keys():  # noqa: SIM118  # not a mapping
        plain = re.sub(WRAPPERS, "", name)
        plain = plain.removeprefix(prefix) if plain.startswith(prefix) else BESIDE + plain
        if plain in found:
            raise UserError(f"{path} holds {plain!r} twice, as {found[plain].name!r} and {name!r}; keep one of them.")
        header = file.get_slice(name)
        found[plain] = _Tensor(name, tuple(header.get_shape()), header.get_dtype())
    return found


def _new_head(found: Mapping[str, _Tensor], expected: Shapes) -> dict[str, str]:
    """The head's tensors with the reason why they keep their initial values; empty if the file's are used."""
    if not any(name in found for name in HEAD):
        return dict.fromkeys(HEAD, "not in the file")
    if all(name in found for name in HEAD):
        weight, bias = (found[name].shape for name in HEAD)
        classes, width = expected["fc.weight"]
        if weight == (*bias, width) and bias != (classes,):
            return dict.fromkeys(HEAD, f"{bias[0]} classes in the file, {classes} in the network")
    return {}


def _check_fit(found: Mapping[str, _Tensor], expected: Shapes, replaced: Collection[str], path: Path) -> None:
    """Refuses another network's weights, even a ResNet-34's in a ResNet-18, although it has all of its tensors."""
    missing = [name for name in expected if name not in found and name not in replaced]
    reshaped = [
        f"{name} {found[name].shape} for {shape}"
        for name, shape in expected.items()
        if name in found and name not in replaced and found[name].shape != shape
    ]
    known = known_names(expected)
    backbone = {name.partition(".")[0] for name in expected if name not in HEAD}
    surplus = [
        repr(tensor.name) for name, tensor in found.items() if name not in known and name.partition(".")[0] in backbone
    ]
    if not (missing or reshaped or surplus):
        return
    theirs, ours = resembling_network(found), resembling_network(expected)
    advice = "choose a torchvision or timm checkpoint of the ResNet that config.classifier.name names"
    if theirs and theirs != ours:
        advice = f"it looks like {theirs}, so set config.classifier.name or choose another file"
    if missing and not surplus:  # its names say what the file is
        surplus = [repr(tensor.name) for name, tensor in found.items() if name not in known]
    lists = {"not in the file": missing, "not in the network": surplus, "of another shape": reshaped}
    details = "; ".join(f"{what}: {listed(sorted(names))}" for what, names in lists.items() if names)
    raise UserError(f"{path} does not fit the network; {advice} ({details}).")


def _read(file: Any, tensor: _Tensor, path: Path) -> np.ndarray:
    """A tensor's values, in the file's precision."""
    if tensor.dtype not in FLOATS:
        raise UserError(
            f"{path} holds {tensor.name!r} as {tensor.dtype}; weights must be one of {', '.join(FLOATS)}: "
            "choose a checkpoint that is not quantised."
        )
    array: np.ndarray = file.get_tensor(tensor.name)
    with np.errstate(over="ignore"):  # a double may be infinite in single precision
        finite = np.isfinite(array.astype(np.float32)).all()
    if not finite:
        raise UserError(f"{path} holds values in {tensor.name!r} that are not finite; choose another checkpoint.")
    return array


def _pickle_refused(path: Path) -> UserError:
    files = shlex.join([str(path), f"{path}.safetensors"])
    return UserError(
        f"{path} is a pickle, which could run any code when it is opened; if PyTorch and safetensors are "
        f"installed, convert it with: {CONVERSION} {files}"
    )
