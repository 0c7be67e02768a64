"""Reads what a run left on disk, and says in one sentence which file is broken and what to do."""

import json
import math
import pathlib
import zipfile
import zlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float, Int, UInt8

from align_jax.errors import UserError

FAILED_READS = (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile, zlib.error)


@dataclass(frozen=True)
class Gallery:
    """Images of the test sets with what the networks made of them; maps and masks are in [0, 1]."""

    image: UInt8[np.ndarray, "n h w 3"]
    label: Int[np.ndarray, " n"]
    predicted: Int[np.ndarray, " n"]
    probability: Float[np.ndarray, " n"]
    domain: tuple[str, ...]
    role: tuple[str, ...]
    grad_cam: Float[np.ndarray, "n h w"]
    learned_mask: Float[np.ndarray, "n h w"] | None
    true_mask: Float[np.ndarray, "n h w"] | None

    def __len__(self) -> int:
        return len(self.image)

    def same_images(self, other: "Gallery") -> bool:
        return self.image.shape == other.image.shape and bool(np.array_equal(self.image, other.image))


@dataclass(frozen=True)
class Run:
    """A finished run: `training` and `evaluations` are the lines of metrics.jsonl in the order of steps."""

    path: pathlib.Path
    config: Mapping[str, Any]
    summary: Mapping[str, Any]
    training: Sequence[Mapping[str, Any]]
    evaluations: Sequence[Mapping[str, Any]]
    gallery: Gallery | None
    gallery_before: Gallery | None

    @property
    def results(self) -> list[Mapping[str, Any]]:
        return self.summary["results"]

    @property
    def class_names(self) -> list[str]:
        return [str(name) for name in self.summary.get("class_names") or []]


def read_run(path: pathlib.Path) -> Run:
    """Reads a run folder.

    Args:
      path: the folder that holds config.json, summary.json, metrics.jsonl and, if images were kept,
        gallery/final.npz and gallery/before_guidance.npz.

    Returns:
      The run. Where a resumed run wrote the same step twice, the later line counts.

    Raises:
      ValueError: a file is missing or broken; the message names the file and the remedy. Only a cut-off last
        line of metrics.jsonl, as a killed writer leaves it, is forgiven (and dropped).
    """
    summary = _read_object(path / "summary.json")
    _check_summary(summary, path / "summary.json")
    training, evaluations = _read_metrics(path / "metrics.jsonl")
    final, before = path / "gallery" / "final.npz", path / "gallery" / "before_guidance.npz"
    gallery = read_gallery(final) if final.exists() else None
    gallery_before = read_gallery(before) if gallery is not None and before.exists() else None
    if gallery is not None and gallery_before is not None and not gallery.same_images(gallery_before):
        raise UserError(f"{before} holds other images than {final}: delete it, or run again in a new workdir")
    return Run(
        path=path,
        config=_read_object(path / "config.json"),
        summary=summary,
        training=training,
        evaluations=evaluations,
        gallery=gallery,
        gallery_before=gallery_before,
    )


def read_gallery(path: pathlib.Path) -> Gallery:
    """Reads one gallery file, checking that its arrays belong together.

    Raises:
      ValueError: the file is missing or broken; the message names it and the remedy.
    """
    try:
        with np.load(path, allow_pickle=False) as arrays:
            stored = {key: arrays[key] for key in arrays.files}
        image = stored["image"]
        if image.dtype != np.uint8 or image.ndim != 4 or image.shape[-1] != 3:
            raise UserError(f"image is {image.dtype}{list(image.shape)}, not uint8 [n, height, width, 3]")

        def maps(key: str) -> Float[np.ndarray, "n h w"]:
            if stored[key].shape != image.shape[:3]:
                raise UserError(f"{key} is {list(stored[key].shape)}, not {list(image.shape[:3])}")
            return np.clip(np.nan_to_num(stored[key].astype(np.float32)), 0.0, 1.0)

        def column(key: str, kind: str) -> np.ndarray:
            if stored[key].shape != image.shape[:1] or stored[key].dtype.kind not in kind:
                raise UserError(f"{key} is {stored[key].dtype}{list(stored[key].shape)}")
            return stored[key]

        return Gallery(
            image=image,
            label=column("label", "iu").astype(np.int64),
            predicted=column("predicted", "iu").astype(np.int64),
            probability=column("probability", "f").astype(np.float32),
            domain=tuple(map(str, column("domain", "U"))),
            role=tuple(map(str, column("role", "U"))),
            grad_cam=maps("grad_cam"),
            learned_mask=maps("learned_mask") if "learned_mask" in stored else None,
            true_mask=maps("true_mask") if "true_mask" in stored else None,
        )
    except FAILED_READS as error:
        raise UserError(
            f"{path} is missing or no gallery ({_reason(error)}): delete it to have a report without images, "
            "or run the training again"
        ) from error


def _read_object(path: pathlib.Path) -> dict[str, Any]:
    try:
        content = json.loads(path.read_bytes())
        if not isinstance(content, dict):
            raise UserError(f"it holds a {type(content).__name__}")
    except FAILED_READS as error:
        raise UserError(
            f"{path} is missing or no JSON object ({_reason(error)}): run the same training command again, "
            "which goes on from the last checkpoint and writes it"
        ) from error
    return content


def _check_summary(summary: Mapping[str, Any], path: pathlib.Path) -> None:
    remedy = "run the same training command again, which goes on from the last checkpoint and writes it"
    if absent := {"algorithm", "dataset", "results"} - summary.keys():
        raise UserError(f"{path} lacks {', '.join(sorted(absent))}: {remedy}")
    names = summary.get("class_names") or []
    if not isinstance(names, list):
        raise UserError(f"{path} has class_names {names!r}, which is no list: {remedy}")
    timing = summary.get("timing") or {}
    results = summary["results"]
    if not isinstance(timing, dict) or not isinstance(results, list):
        raise UserError(f"{path} needs an object as timing and a list as results: {remedy}")
    for row in [timing, *results]:
        if not isinstance(row, dict) or (row is not timing and not {"domain", "role"} <= row.keys()):
            raise UserError(f"{path} has the result {row!r}, which names no domain or role: {remedy}")
        for key, value in row.items():
            if key == "per_class_accuracy":
                if not isinstance(value, dict) or not all(isinstance(v, float | int) for v in value.values()):
                    raise UserError(f"{path} has {key} = {value!r}, which is no object of numbers: {remedy}")
            elif key not in ("domain", "role", "split") and not isinstance(value, float | int | None):
                raise UserError(f"{path} has {key} = {value!r}, which is no number: {remedy}")


def _read_metrics(path: pathlib.Path) -> tuple[list[dict[str, Any]], list[dict[str, Any]]]:
    try:
        lines = [line for line in path.read_bytes().split(b"\n") if line.strip()]
    except OSError as error:
        raise UserError(
            f"{path} cannot be read ({_reason(error)}): run the same training command again, which writes it"
        ) from error
    training: dict[float, dict[str, Any]] = {}
    evaluations: dict[tuple[float, str, str, str], dict[str, Any]] = {}
    for number, line in enumerate(lines, start=1):
        try:
            row = json.loads(line)
            step = row["step"]
            if not math.isfinite(step):
                raise UserError(f"step is {step}")
        except (ValueError, TypeError, KeyError) as error:
            if number == len(lines) and isinstance(error, ValueError):
                break
            raise UserError(
                f"{path} is broken in line {number} ({_reason(error)}): delete that line, then make the report again"
            ) from error
        if row.get("split", "train") == "train":
            training[step] = row
        else:
            evaluations[step, str(row.get("split")), str(row.get("role")), str(row.get("domain"))] = row
    return (
        [training[step] for step in sorted(training)],
        [evaluations[key] for key in sorted(evaluations)],
    )


def _reason(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it lacks {error.args[0]}"
    if isinstance(error, OSError) and error.strerror:
        return error.strerror.lower()
    return str(error).splitlines()[0] if str(error) else type(error).__name__
