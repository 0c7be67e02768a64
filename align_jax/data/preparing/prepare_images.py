"""Prepares a data set of images in folders, or opens it if it is prepared already."""

import sys
from collections.abc import Callable
from pathlib import Path

import tensorflow_datasets as tfds

from align_jax.data.preparing.builder import BadImagePolicy, DomainImagesBuilder, OnBadImage
from align_jax.data.preparing.image_folders import Counts, DomainImages, check_nothing_absent
from align_jax.data.preparing.once import check_local, open_prepared, prepare_once
from align_jax.errors import UserError


def prepare_images(
    builder_class: type[DomainImagesBuilder],
    find: Callable[[Path, Path], DomainImages],
    root: str | Path,
    prepared: str | Path,
    *,
    on_bad_image: OnBadImage = "error",
    most_skipped: float = 0.01,
    describe: Callable[[Counts], str] = lambda counts: "",
    config: tfds.core.BuilderConfig | None = None,
) -> tfds.core.DatasetBuilder:
    """Writes a data set under `prepared`, unless it is there, and returns a builder with a split for each domain.

    Args:
        builder_class: the data set's.
        find: finds the images, given `root` and a folder to extract archives to.
        root: the user's copy: a folder, the folder above it, or an archive; not needed once prepared.
        prepared: a local folder that all data sets share; it is made if it is not there.
        on_bad_image: what to do about images that cannot be read: "error" or "skip".
        most_skipped: the largest fraction of all images that may be skipped.
        describe: what to print about the copy, given the counts of its images.
        config: of a builder that has several.

    Raises:
        UserError: no images are found, some cannot be read, or the prepared data set cannot be used.
    """
    check_local(root, prepared)
    root, prepared = Path(root), Path(prepared)
    policy = BadImagePolicy(on_bad_image, most_skipped)
    name = config.name if config is not None else builder_class.name

    def write(workspace: Path) -> None:
        images = find(root, workspace)
        check_nothing_absent(images)
        kinds = f"{len(images.domains)} domains and {len(images.classes)} classes"
        masks = ", with masks" if images.has_masks else ""
        ignored = f"; other files and folders, ignored: {images.ignored:,}" if images.ignored else ""
        found = f"{name}: {len(images.images):,} images of {kinds} in {images.source}{masks}{ignored}."
        print("\n".join(filter(None, (found, describe(images.counts())))), file=sys.stderr)
        builder = builder_class(source=images, policy=policy, config=config, data_dir=prepared)
        builder.download_and_prepare(download_dir=workspace)

    folder = prepared / builder_class.name / (config.name if config is not None else "") / str(builder_class.VERSION)
    written = prepare_once(folder, write)
    builder = open_prepared(folder)
    if not written:
        _check_prepared(name, folder, builder.info, policy)
    return builder


def _check_prepared(name: str, folder: Path, info: tfds.core.DatasetInfo, policy: BadImagePolicy) -> None:
    """Prints where a prepared data set came from, since the root that is given now is not read; or refuses it."""
    metadata = info.metadata or {}
    if not {"source", "skipped", "duplicates"} <= metadata.keys():
        raise UserError(
            f"{folder} was prepared by an earlier version, which did not find identical images; delete it to prepare "
            "anew."
        )
    skipped = len(metadata["skipped"])
    if skipped and policy.on_bad_image == "error":
        raise UserError(
            f"{name} in {folder} was prepared with unreadable images left out ({skipped:,}), but on_bad_image is "
            "error; set on_bad_image=skip, or delete the folder to prepare anew."
        )
    print(
        f"Using {name} prepared from {metadata['source']} ({info.splits.total_num_examples:,} images, {skipped:,} left "
        f"out) in {folder}; delete it to prepare anew.",
        file=sys.stderr,
    )
