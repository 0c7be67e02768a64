"""Preparing emoji_scenes: once, whole or not at all, by however many processes."""

import os
from pathlib import Path

from align_jax.data.datasets.emoji_scenes.emoji_scenes import EmojiScenes, config_name
from align_jax.data.preparing.once import prepare_once


def prepare(
    data_dir: str | os.PathLike[str],
    correlation: float = 0.3,
    fold: int = 0,
    class_set: str = "five",
    size: int = 64,
) -> EmojiScenes:
    """Composes the data set under `data_dir`, unless it is there, and returns a builder that reads it.

    A prepared data set is not touched; one of several processes composes and the others wait for it.

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

    def compose(workspace: Path) -> None:
        # TFDS wants a folder for downloads even where there are none.
        builder.download_and_prepare(download_dir=workspace)

    prepare_once(Path(builder.data_dir), compose)
    return EmojiScenes(config=name, data_dir=data_dir, file_format="array_record")
