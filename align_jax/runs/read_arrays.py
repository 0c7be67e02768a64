"""Reads the arrays that a run left: its gallery, and what it predicted. Nothing is unpickled."""

import pathlib
import zipfile
import zlib
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float, Int, Shaped, UInt8

from align_jax.runs.untrusted_json import BrokenFile, printable, reason

# Of a file's arrays, unpacked. The predictions of all DomainNet images take about a quarter of it.
MOST_BYTES = 4 * 2**30

REMEDY = "delete it to have a report without what it holds, or train again in another folder"
FAILED_READS = (OSError, ValueError, KeyError, EOFError, MemoryError, RuntimeError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Gallery:
    """Images of the test sets with what the networks made of them; maps and masks are in [0, 1].

    Attributes:
      grad_cam: of the checkpoint that was selected; `grad_cam_before`, of the network before it was guided.
      group: the environment of each image, as its background; empty where the data set has no groups.
    """

    image: UInt8[np.ndarray, "n h w 3"]
    label: Int[np.ndarray, " n"]
    predicted: Int[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    domain: tuple[str, ...]
    role: tuple[str, ...]
    grad_cam: Float[np.ndarray, "n h w"]
    learned_mask: Float[np.ndarray, "n h w"] | None
    true_mask: Float[np.ndarray, "n h w"] | None
    grad_cam_before: Float[np.ndarray, "n h w"] | None = None
    group: tuple[str, ...] = ()

    def __len__(self) -> int:
        return len(self.image)

    def same_images(self, other: "Gallery") -> bool:
        return self.image.shape == other.image.shape and bool(np.array_equal(self.image, other.image))


class Predictions(NamedTuple):
    """What a run predicted in some of its tests, image by image.

    Attributes:
      predicted: the class.
      correct: 1 where it was right, else 0.
      object: what is the same in several tests, on other backgrounds; the identity where the data set does not say.
    """

    predicted: Int[np.ndarray, " n"]
    label: Int[np.ndarray, " n"]
    correct: Float[np.ndarray, " n"]
    concept: Shaped[np.ndarray, " n"]
    identity: Shaped[np.ndarray, " n"]
    object: Shaped[np.ndarray, " n"]


def read_gallery(folder: pathlib.Path) -> Gallery | None:
    """Reads a run's gallery/final.npz, and its gallery/before_guidance.npz where there is one.

    Returns:
      The gallery; None where no images were kept.

    Raises:
      BrokenFile: a file is broken, its arrays do not belong together, or the two hold different images.
    """
    final, before = folder / "gallery" / "final.npz", folder / "gallery" / "before_guidance.npz"
    if not final.exists():
        return None
    gallery = _gallery(final)
    if not before.exists():
        return gallery
    earlier = _gallery(before)
    if not gallery.same_images(earlier):
        raise BrokenFile(
            before, f"holds other images than {final}", remedy="delete it, or train again in another folder"
        )
    return replace(gallery, grad_cam_before=earlier.grad_cam)


def read_backgrounds(folder: pathlib.Path) -> Gallery | None:
    """Reads a run's gallery/backgrounds.npz, objects on several backgrounds; None where none were kept.

    Raises:
      BrokenFile: the file is broken, or its arrays do not belong together.
    """
    path = folder / "gallery" / "backgrounds.npz"
    return _gallery(path) if path.exists() else None


def read_predictions(folder: pathlib.Path, tests: Sequence[str]) -> Predictions | None:
    """Reads a run's predictions.npz.

    Args:
      folder: the run's.
      tests: `DOMAIN/SPLIT` each, in the order in which their images are to follow one another.

    Returns:
      The predictions; None where they were not kept, or the data set has no concepts.

    Raises:
      BrokenFile: the file is broken.
    """
    path = folder / "predictions.npz"
    if not path.exists() or not tests:
        return None
    with _arrays(path) as arrays:
        stored = {printable(name): name for name in arrays.files}
        if any(f"{test}/concept" not in stored for test in tests):
            return None
        same = "object" if all(f"{test}/object" in stored for test in tests) else "id"
        probabilities, label, concept, identity, objects = (
            np.concatenate([arrays[stored[f"{test}/{name}"]] for test in tests])
            for name in ("probabilities", "label", "concept", "id", same)
        )
        columns = (label, concept, identity, objects)
        if probabilities.ndim != 2 or {column.shape for column in columns} != {probabilities.shape[:1]}:
            raise ValueError("its arrays do not belong together")
        predicted = probabilities.argmax(-1)
        return Predictions(predicted, label, (predicted == label).astype(np.float64), concept, identity, objects)


def _gallery(path: pathlib.Path) -> Gallery:
    with _arrays(path) as arrays:
        image = arrays["image"]
        if image.dtype != np.uint8 or image.ndim != 4 or image.shape[-1] != 3:
            raise ValueError(f"image is {image.dtype}{list(image.shape)}, not uint8 [n, height, width, 3]")

        def column(key: str, kind: str, shape: tuple[int, ...] = image.shape[:1]) -> np.ndarray:
            values = arrays[key]
            if values.shape != shape or values.dtype.kind not in kind:
                raise ValueError(f"{key} is {values.dtype}{list(values.shape)}")
            return values

        def maps(key: str) -> Float[np.ndarray, "n h w"]:
            return np.clip(np.nan_to_num(column(key, "f", image.shape[:3]).astype(np.float32)), 0.0, 1.0)

        return Gallery(
            image=image,
            label=column("label", "iu").astype(np.int64),
            predicted=column("predicted", "iu").astype(np.int64),
            probability=column("probability", "f").astype(np.float32),
            domain=tuple(map(printable, map(str, column("domain", "U")))),
            role=tuple(map(printable, map(str, column("role", "U")))),
            grad_cam=maps("grad_cam"),
            learned_mask=maps("learned_mask") if "learned_mask" in arrays else None,
            true_mask=maps("true_mask") if "true_mask" in arrays else None,
            group=tuple(map(printable, map(str, column("group", "U")))) if "group" in arrays else (),
        )


@contextmanager
def _arrays(path: pathlib.Path) -> Iterator[np.lib.npyio.NpzFile]:
    """Opens a file of arrays; whatever goes wrong with them is a `BrokenFile`."""
    try:
        # Reading a pipe would wait for ever.
        if path.exists() and not path.is_file():
            raise ValueError("it is not a file")
        with zipfile.ZipFile(path) as archive:
            # A small archive may unpack to something that fills the memory.
            if sum(member.file_size for member in archive.infolist()) > MOST_BYTES:
                raise ValueError(f"its arrays are larger than {MOST_BYTES // 2**30} GiB")
        with np.load(path, allow_pickle=False) as arrays:
            yield arrays
    except FAILED_READS as error:
        text = f"it lacks {error.args[0]}" if isinstance(error, KeyError) else reason(error)
        raise BrokenFile(path, f"is broken ({text})", remedy=REMEDY) from error
