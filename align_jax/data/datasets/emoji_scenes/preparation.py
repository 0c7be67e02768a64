"""Preparing emoji_scenes: once, whole or not at all, by however many processes."""

import contextlib
import fcntl
import io
import os
import shutil
import sys
import tempfile
from collections.abc import Iterator
from pathlib import Path

from absl import logging
from tensorflow_datasets.core.utils import tqdm_utils

from align_jax.data.datasets.emoji_scenes.emoji_scenes import EmojiScenes, config_name


def prepare(
    data_dir: str | os.PathLike[str],
    correlation: float = 0.3,
    fold: int = 0,
    class_set: str = "five",
    size: int = 64,
) -> EmojiScenes:
    """Composes the data set under `data_dir`, unless it is there, and returns a builder that reads it.

    A prepared data set is not touched. TFDS writes into a folder called `incomplete.*` and renames it when all is
    written; what an earlier process left there when it was killed is removed. A lock, which the system takes back
    from a process that dies, makes one of several processes compose and the others wait for it.

    Args:
        data_dir: a local folder, made if need be; several configurations can share it.
        correlation: class-background correlation, one of 0, 0.3, 0.5, 0.7, 0.9.
        fold: quarter of the concepts that is for the test, 0 to 3.
        class_set: "five" or "all" classes.
        size: side of the images in pixels, one of 32, 64, 96, 128.

    Returns:
        A builder: `prepare(folder).as_data_source("noto_train")[0]["image"]`.

    Raises:
        ValueError: a value for which there is no configuration, or a `data_dir` that is not local.
    """
    name = config_name(correlation, fold, class_set, size)
    if "://" in os.fspath(data_dir):
        raise ValueError(
            f"data_dir {os.fspath(data_dir)} is not a local folder: array_record files are prepared on a local "
            "disk; prepare there, copy the folder, and read it through a mount."
        )
    builder = EmojiScenes(config=name, data_dir=data_dir, file_format="array_record")
    folder = Path(builder.data_dir)
    if not folder.exists():
        folder.parent.mkdir(parents=True, exist_ok=True)
        with _locked(folder.parent / ".lock"):
            if not folder.exists():
                for leftover in folder.parent.glob("incomplete.*"):
                    shutil.rmtree(leftover)
                # TFDS wants a folder for downloads even where there are none.
                with _quiet_tfds(), tempfile.TemporaryDirectory() as downloads:
                    builder.download_and_prepare(download_dir=downloads)
    return EmojiScenes(config=name, data_dir=data_dir, file_format="array_record")


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    with path.open("w") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            print(f"Waiting for another process that prepares {path.parent}", file=sys.stderr)
            fcntl.flock(file, fcntl.LOCK_EX)
        yield


@contextlib.contextmanager
def _quiet_tfds() -> Iterator[None]:
    """TFDS prints, logs and draws a bar for every split; the builder's own bar says enough."""
    verbosity, bars = logging.get_verbosity(), tqdm_utils._active
    logging.set_verbosity(logging.ERROR)
    tqdm_utils.disable_progress_bar()
    try:
        with contextlib.redirect_stdout(io.StringIO()):
            yield
    finally:
        logging.set_verbosity(verbosity)
        tqdm_utils.display_progress_bar(bars)
