"""Prepares a data set once, whole or not at all, also where several processes want it."""

import contextlib
import hashlib
import io
import json
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from align_jax.errors import UserError
from align_jax.runtime.files import write_atomically
from align_jax.runtime.interruption import stop_if_asked, stop_request
from align_jax.runtime.locks import lock
from align_jax.runtime.paths import check_utf8, refuse_url
from align_jax.runtime.terminal import say

# In a prepared data set: the SHA-256 of its other small files. Shards have checksums of their own.
CHECKSUMS = "checksums.json"
# The files that describe a data set have a few MB if it has very many classes or duplicates.
LARGEST_DESCRIPTION = 256 * 2**20
# What is left of a preparation that was asked to stop.
STOPPED = "no unfinished data set is left, and the same command begins again."
POLL_S = 0.2


def prepare_once(folder: Path, write: Callable[[Path], None]) -> bool:
    """Makes a prepared data set's folder with `write`, unless it is there; returns whether this process wrote it.

    `write` gets an empty folder on the same disk for temporary files. TFDS writes into a folder called `incomplete.*`,
    and renames it when all is written; such folders of killed processes are removed. A lock lets one process write
    while the others wait; the system releases it if that process dies. A prepared data set may be read-only. After an
    error no folder is left that was not there before.
    """
    check_utf8(folder, "The folder of prepared data")
    written = False
    while not written and not folder.exists():
        with _made(folder.parent), _locked(folder.parent / ".lock") as is_current:
            if is_current and not folder.exists():
                for leftover in folder.parent.glob("incomplete.*"):
                    shutil.rmtree(leftover)
                temporary = tempfile.TemporaryDirectory(prefix="incomplete.", dir=folder.parent)
                with temporary as workspace, stop_request("ending the preparation"), _quiet_tfds():
                    write(Path(workspace))
                written = True
    if not written:
        _remove_leftovers(folder.parent)
    if not (folder / "dataset_info.json").is_file():
        raise UserError(
            f"{folder} is not a whole data set: it lacks dataset_info.json, which is written last; finish the copy, "
            "or delete the folder to prepare anew."
        )
    return written


def _remove_leftovers(folder: Path) -> None:
    """Removes what a process left that was killed behind the last rename; not where another is at work, or read-only.

    The copy of an archive's contents may be among it.
    """
    if any(folder.glob("incomplete.*")):
        with contextlib.suppress(OSError), lock(folder / ".lock") as held:
            for leftover in folder.glob("incomplete.*") if held is not None else ():
                shutil.rmtree(leftover)


def open_prepared(folder: Path) -> tfds.core.DatasetBuilder:
    """A builder that reads a prepared data set, which must be whole; it does not need the user's images.

    Raises:
      UserError: one of the small files is missing, or is not as it was written; or a shard is missing.
    """
    try:
        _check_checksums(folder)
        builder = tfds.builder_from_directory(folder)
        _check_names(folder)
        _check_metadata(builder.info)
        files = [Path(file) for split in builder.info.splits.values() for file in split.filepaths]
    except Exception as error:  # damaged JSON can raise anything in TFDS
        raise damaged(folder, error) from error
    for file in files:
        if not file.is_file():
            raise damaged(folder, f"{file.name} is missing")
    return builder


def _write_checksums(folder: Path) -> None:
    small = [path for path in folder.iterdir() if ".array_record" not in path.name]
    checksums = {path.name: _sha256(path) for path in sorted(small)}
    write_atomically(folder / CHECKSUMS, json.dumps(checksums, indent=1).encode())


def _check_checksums(folder: Path) -> None:
    """Raises a ValueError for a small file that is not as it was written. Earlier versions wrote no checksums."""
    if not (folder / CHECKSUMS).exists():
        return
    checksums = _read_json(folder / CHECKSUMS)
    # The paths come from the folder, and none from the file.
    found = {path.name: path for path in folder.iterdir() if path.is_file()}
    for name, checksum in checksums.items():
        if name not in found:
            raise ValueError(f"{name} is missing")
        if _sha256(found[name]) != checksum:
            raise ValueError(f"{name} is not as it was written")


def _check_names(folder: Path) -> None:
    """Raises a ValueError where there are no names of classes or domains, or too few: TFDS would make up numbers."""
    for feature, described in _read_json(folder / "features.json")["featuresDict"]["features"].items():
        if "classLabel" in described:
            path = folder / f"{feature}.labels.txt"
            *names, rest = path.read_text("utf-8").split("\n")
            wanted = int(described["classLabel"]["numClasses"])
            if rest or len(names) != wanted or not all(name.strip() and name.isprintable() for name in names):
                raise ValueError(f"{path.name} does not have {wanted} whole names")


def _check_metadata(info: tfds.core.DatasetInfo) -> None:
    """Raises a ValueError where values are of another type than the builders of images in folders write."""
    metadata = info.metadata or {}
    kinds = {
        "splits": dict,
        "source": str,
        "skipped": dict,
        "duplicates": dict,
        "shared": list,
        "dropped": list,
        "without_images": list,
    }
    for name in metadata:
        if not isinstance(metadata[name], kinds.get(name, object)):
            raise ValueError(f"metadata.json has no valid {name}")
    if "splits" in metadata and list(metadata["splits"]) != info.features["domain"].names:
        raise ValueError("metadata.json has other domains")


def _read_json(path: Path) -> dict[str, Any]:
    if path.stat().st_size > LARGEST_DESCRIPTION:
        raise ValueError(f"{path.name} is larger than {LARGEST_DESCRIPTION // 2**20} MiB")
    content = json.loads(path.read_bytes())
    if not isinstance(content, dict):
        raise ValueError(f"{path.name} is not an object")
    return content


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def damaged(folder: Path, reason: object) -> UserError:
    """What to raise where a prepared data set cannot be read."""
    if isinstance(reason, OSError) and reason.filename is not None:
        what = "is missing" if isinstance(reason, FileNotFoundError) else f"cannot be read: {reason.strerror}"
        reason = f"{Path(reason.filename).name} {what}"
    text = (" ".join(str(reason).split()) or type(reason).__name__)[:200]
    return UserError(f"The prepared data set in {folder} is damaged ({text}); delete it to prepare anew.")


def check_local(*paths: str | Path) -> None:
    """Raises a UserError for `gs://...` and the like."""
    for path in paths:
        refuse_url(path, str(path))


@contextlib.contextmanager
def _made(folder: Path) -> Iterator[None]:
    """Makes a folder and those above it; after an error, removes what it made unless something is in it."""
    absent = [path for path in (folder, *folder.parents) if not path.exists()]
    folder.mkdir(parents=True, exist_ok=True)
    try:
        yield
    except BaseException:
        for path in absent:
            with contextlib.suppress(OSError):
                path.rmdir()
        raise


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[bool]:
    """Holds the lock, and says whether its file is still there: who fails removes it, so that others lock a new one."""
    with lock(path) as held:
        if held is not None:
            try:
                yield _is_open(path, held)
            except BaseException:
                path.unlink(missing_ok=True)
                raise
            return
    say(f"Waiting for another process, which prepares {path.parent}")
    # A lock that waits by itself would not see that this process was asked to stop.
    while _is_locked(path):
        stop_if_asked(f"{path.parent} was still being prepared by another process.")
        time.sleep(POLL_S)
    yield False  # and then come again


def _is_locked(path: Path) -> bool:
    try:
        with lock(path) as held:
            return held is None
    except FileNotFoundError:  # the process that failed has removed the folder
        return False


def _is_open(path: Path, descriptor: int) -> bool:
    return path.exists() and os.path.samestat(path.stat(), os.fstat(descriptor))


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silences TFDS, which prints, logs and draws a bar for every split: the builder has a bar of its own.

    It does not look for the data set in its bucket either, for which it would leave a temporary folder behind. The last
    that it writes before it renames its folder are the checksums.
    """
    look, describe = tfds.core.DatasetInfo.initialize_from_bucket, tfds.core.DatasetInfo.write_to_directory

    def described(info: tfds.core.DatasetInfo, folder: str, *arguments: Any, **options: Any) -> None:
        describe(info, folder, *arguments, **options)
        _write_checksums(Path(folder))

    tfds.core.DatasetInfo.initialize_from_bucket = lambda info: None
    tfds.core.DatasetInfo.write_to_directory = described
    verbosity, bars = logging.get_verbosity(), tqdm_utils._active
    logging.set_verbosity(logging.ERROR)
    tqdm_utils.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        tfds.core.DatasetInfo.initialize_from_bucket = look
        tfds.core.DatasetInfo.write_to_directory = describe
        logging.set_verbosity(verbosity)
        tqdm_utils.display_progress_bar(bars)
