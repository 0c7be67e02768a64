"""Prepares a data set once, whole or not at all, also where several processes want it."""

import contextlib
import io
import re
import shutil
import sys
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path

import tensorflow_datasets as tfds
from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from align_jax.errors import UserError
from align_jax.runtime.locks import lock


def prepare_once(folder: Path, write: Callable[[Path], None]) -> bool:
    """Makes a prepared data set's folder with `write`, unless it is there; returns whether this process wrote it.

    `write` gets an empty folder on the same disk for temporary files. TFDS writes into a folder called `incomplete.*`,
    and renames it when all is written; such folders of killed processes are removed. A lock lets one process write
    while the others wait; the system releases it if that process dies. A prepared data set may be read-only.
    """
    written = False
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / ".lock"):
            if not folder.exists():
                for leftover in folder.parent.glob("incomplete.*"):
                    shutil.rmtree(leftover)
                with _quiet_tfds(), tempfile.TemporaryDirectory(prefix="incomplete.", dir=folder.parent) as workspace:
                    write(Path(workspace))
                written = True
    if not (folder / "dataset_info.json").is_file():
        raise UserError(
            f"{folder} is not a whole data set: it lacks dataset_info.json, which is written last; finish the copy, "
            "or delete the folder to prepare anew."
        )
    return written


def open_prepared(folder: Path) -> tfds.core.DatasetBuilder:
    """A builder that reads a prepared data set, which must be whole; it does not need the user's images."""
    try:
        builder = tfds.builder_from_directory(folder)
        files = [Path(file) for split in builder.info.splits.values() for file in split.filepaths]
    except Exception as error:  # damaged JSON can raise anything in TFDS
        raise damaged(folder, error) from error
    for file in files:
        if not file.is_file():
            raise damaged(folder, f"{file.name} is missing")
    return builder


def damaged(folder: Path, reason: object) -> UserError:
    """What to raise where a prepared data set cannot be read."""
    text = (" ".join(str(reason).split()) or type(reason).__name__)[:200]
    return UserError(f"The prepared data set in {folder} is damaged ({text}); delete it to prepare anew.")


def check_local(*paths: str | Path) -> None:
    """Raises a UserError for `gs://...` and the like."""
    for path in paths:
        # A Path has collapsed the two slashes into one.
        if re.match(r"[A-Za-z][A-Za-z0-9+.-]+:/", str(path)):
            raise UserError(
                f"{path} is not a local folder: data are prepared and read through the file system; mount the bucket "
                "and give the path where it is mounted."
            )


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with lock(path) as held:
        if held is not None:
            yield
            return
    print(f"Waiting for another process, which prepares {path.parent}", file=sys.stderr)
    with lock(path, wait=True):
        yield


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """Silences TFDS, which prints, logs and draws a bar for every split: the builder has a bar of its own."""
    verbosity, bars = logging.get_verbosity(), tqdm_utils._active
    logging.set_verbosity(logging.ERROR)
    tqdm_utils.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tqdm_utils.display_progress_bar(bars)
