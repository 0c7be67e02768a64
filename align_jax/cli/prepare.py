"""`launch/prepare.py`: prepares a data set ahead of time, verifies it, and copies it to where it will be read.

    python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR [--copy_to=DIR]
    python launch/prepare.py --dataset=domain_folders --folder=PACS --root=PATH --prepared=DIR [--on_bad_image=skip]

Training then takes `--config.data.prepared=DIR`, the copy's too; the images themselves are no longer needed.

`--copy_to` takes any folder, also one in a mounted bucket (`gs://` itself is refused). It needs files that can be
written, read back and renamed. It was tested on local disks alone: a real bucket, mounted with Cloud Storage FUSE or
the like, is untested.
"""

import contextlib
import dataclasses
import hashlib
import os
import re
import shutil
import sys
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from typing import Any, Literal

import tensorflow_datasets as tfds
from absl import flags
from tqdm import tqdm

from align_jax.cli.commands import exit_status, parsed, refuse_positional
from align_jax.data import images
from align_jax.data.datasets import domain_folders, emoji_scenes, terra_incognita, vlcs
from align_jax.data.preparing.builder import in_order
from align_jax.data.preparing.counts import counts_table
from align_jax.data.preparing.image_folders import Counts
from align_jax.errors import UserError

USAGE = (
    "python launch/prepare.py --dataset=vlcs --root=PATH --prepared=DIR [--folder=PACS] [--on_bad_image=skip] "
    "[--most_skipped=0.01] [--copy_to=DIR]"
)
# TFDS writes it last, and takes a folder that has it for a whole data set.
LAST_FILE = "dataset_info.json"
# Flags that a data set does not read.
UNREAD = {
    "emoji_scenes": ("root", "folder", "on_bad_image", "most_skipped"),
    "vlcs": ("folder",),
    "terra_incognita": ("folder",),
    "domain_folders": (),
}


@dataclasses.dataclass(frozen=True)
class Request:
    """What is asked for; as the flags.

    Attributes:
      dataset: a key of `DATASETS`.
      root: the user's images, a folder or an archive.
      prepared: the folder of prepared data sets.
      folder: of domain_folders, below the root.
      on_bad_image: "error" or "skip".
      most_skipped: fraction of the images.
      copy_to: another folder of prepared data sets, or None.
    """

    dataset: str
    root: Path
    prepared: Path
    folder: str
    on_bad_image: Literal["error", "skip"]
    most_skipped: float
    copy_to: Path | None


def _policy(request: Request) -> dict[str, Any]:
    return {"on_bad_image": request.on_bad_image, "most_skipped": request.most_skipped}


DATASETS: dict[str, Callable[[Request], tfds.core.DatasetBuilder]] = {
    "emoji_scenes": lambda request: emoji_scenes.prepare(request.prepared),
    "vlcs": lambda request: vlcs.prepare(request.root, request.prepared, **_policy(request)),
    "terra_incognita": lambda request: terra_incognita.prepare(request.root, request.prepared, **_policy(request)),
    "domain_folders": lambda request: domain_folders.prepare(
        request.root, request.prepared, folder=request.folder, **_policy(request)
    ),
}


def parse(arguments: Sequence[str]) -> Request:
    """The flags of `launch/prepare.py`.

    Args:
      arguments: as `sys.argv`, with the program's name first.

    Raises:
      UserError: an unknown flag or value, or a flag that the data set does not read.
    """
    values = flags.FlagValues()
    define: dict[str, Any] = {"flag_values": values}
    flags.DEFINE_enum("dataset", None, list(DATASETS), "The data set.", **define)
    flags.DEFINE_string(
        "root", "data", "The images that you have: their folder, the one above, or an archive.", **define
    )
    flags.DEFINE_string("prepared", "data", "The folder for prepared data sets.", **define)
    flags.DEFINE_string("folder", "", "domain_folders: the data set's folder below the root, such as PACS.", **define)
    flags.DEFINE_enum("on_bad_image", "error", ["error", "skip"], "For images that cannot be read.", **define)
    flags.DEFINE_float("most_skipped", 0.01, "At most, as a fraction.", lower_bound=0.0, upper_bound=1.0, **define)
    flags.DEFINE_string("copy_to", None, "Where to copy the prepared data set.", **define)
    values, rest = parsed(arguments, USAGE, values=values)
    refuse_positional(rest, USAGE)
    if values.dataset is None:
        raise UserError(f"--dataset is missing; choose one of {', '.join(DATASETS)}.")
    for flag in UNREAD[values.dataset]:
        if values[flag].present:
            raise UserError(f"--{flag} is not read by {values.dataset}; leave it out.")
    if values.copy_to is not None and Path(values.copy_to).resolve() in (
        Path().resolve(),
        Path(values.prepared).resolve(),
    ):
        raise UserError(f"--copy_to is {values.copy_to!r}; give a folder other than this one and --prepared.")
    for flag in ("root", "prepared", "copy_to"):
        if re.match(r"[\w+.-]+://", values[flag].value or ""):
            raise UserError(
                f"--{flag}={values[flag].value} is not a local folder: mount the bucket, and give the mount's path."
            )
    return Request(
        dataset=values.dataset,
        root=Path(values.root),
        prepared=Path(values.prepared),
        folder=values.folder,
        on_bad_image=values.on_bad_image,
        most_skipped=values.most_skipped,
        copy_to=None if values.copy_to is None else Path(values.copy_to),
    )


def verify(builder: tfds.core.DatasetBuilder) -> Counts:
    """Reads every record back: their number, whether they decode, labels, and that ids are unique.

    Returns:
      Records of each domain and class.

    Raises:
      UserError: what is wrong with which record.
    """
    info = builder.info
    domains, classes = info.features["domain"].names, info.features["label"].names
    pictures = [name for name in ("image", "mask") if name in info.features]
    counts: Counts = {domain: dict.fromkeys(classes, 0) for domain in domains}
    remedy = f"remove {builder.data_dir} and prepare again."
    ids: set[bytes] = set()
    with (
        images.without_pillow_warnings(),
        _progress(f"Verifying {info.name}", info.splits.total_num_examples, " images") as progress,
    ):
        for split, split_info in info.splits.items():
            source = builder.as_data_source(split, decoders={name: tfds.decode.SkipDecoding() for name in pictures})
            if len(source) != split_info.num_examples:
                raise UserError(f"{split} has {len(source)} records, not {split_info.num_examples}; {remedy}")

            def read(index: int, source: Any = source) -> tuple[dict[str, Any], str]:
                record = {"id": f"number {index}".encode(), "label": 0, "domain": 0}
                try:
                    record = source[index]
                    sizes = {images.decode(record[name]).shape[:2] for name in pictures}
                # Not BadImage alone: whatever a damaged file brings about inside array_record and TFDS.
                except Exception as error:
                    return record, " ".join(str(error).split())
                return record, "" if len(sizes) == 1 else "its mask has another size"

            for record, fault in in_order(read, range(len(source))):
                if not (0 <= record["label"] < len(classes) and 0 <= record["domain"] < len(domains)):
                    fault = f"label {record['label']}, domain {record['domain']}"
                if record["id"] in ids:
                    fault = "its id comes twice"
                if fault:
                    raise UserError(f"{split}: the record {record['id'].decode()} is bad ({fault}); {remedy}")
                ids.add(record["id"])
                counts[domains[record["domain"]]][classes[record["label"]]] += 1
                progress.update()
    return counts


def copy(source: Path, target: Path) -> None:
    """Copies a prepared data set's folder; where a copy was begun it goes on.

    Each file is written under another name, read back and compared, then renamed. `dataset_info.json` comes last, and
    is removed from `target` first if anything has changed: a half copy is never taken for a whole one.

    Raises:
      UserError: what was read back differs from what was written.
    """
    files = sorted(
        (path for path in source.rglob("*") if path.is_file()), key=lambda path: (path.name == LAST_FILE, path)
    )
    with _progress(
        f"Copying to {target}", sum(path.stat().st_size for path in files), "B", unit_scale=True
    ) as progress:
        for path in files:
            destination = target / path.relative_to(source)
            checksum = _checksum(path)
            if not (destination.is_file() and _checksum(destination) == checksum):
                (target / LAST_FILE).unlink(missing_ok=True)
                destination.parent.mkdir(parents=True, exist_ok=True)
                temporary = destination.with_name(f".{destination.name}.copying")
                with path.open("rb") as read, temporary.open("wb") as written:
                    shutil.copyfileobj(read, written, 1 << 20)
                    written.flush()
                    os.fsync(written.fileno())
                if _checksum(temporary) != checksum:
                    temporary.unlink()
                    raise UserError(f"{destination} reads back other than it was written; check the disk and repeat.")
                os.replace(temporary, destination)
            progress.update(path.stat().st_size)


def _checksum(path: Path) -> bytes:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").digest()


@contextlib.contextmanager
def _progress(title: str, total: int, unit: str, **options: Any) -> Iterator[tqdm]:
    """A bar on a terminal, a line elsewhere."""
    if not sys.stderr.isatty():
        print(f"{title} ...", file=sys.stderr, flush=True)
    with tqdm(total=total, desc=title, unit=unit, leave=False, disable=None, **options) as bar:
        yield bar


def run(request: Request) -> None:
    """Prepares, verifies, prints the table of counts, and copies."""
    if not sys.stderr.isatty():
        print(f"Preparing {request.dataset} ...", file=sys.stderr, flush=True)
    builder = DATASETS[request.dataset](request)
    counts = verify(builder)
    print(counts_table(counts))
    folder = Path(builder.data_dir)
    print(f"Prepared and verified: {folder}")
    skipped = (builder.info.metadata or {}).get("skipped")
    if skipped:
        print(f"Images that were left out: {len(skipped):,}; {folder / 'metadata.json'} names them.")
    if request.copy_to is not None:
        target = request.copy_to / builder.info.full_name
        copy(folder, target)
        print(f"Copied, and compared: {target}")


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/prepare.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    return exit_status(
        lambda: run(parse(arguments)),
        on_os_error="can --prepared and --copy_to be written, and is there room?",
        on_interrupt="nothing half prepared is left to be read, and the same command begins again.",
    )
