"""How a data set of images in folders is prepared: found, written once, or opened if it is there already."""

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
    """Writes a data set under `prepared`, unless it is there, and returns a builder that reads it.

    Args:
        builder_class: the data set's.
        find: the images in `root`, given that and a folder to extract archives to.
        root: the user's copy: a folder, the folder above it, or an archive; not needed once prepared.
        prepared: a local folder that all data sets share; made if need be.
        on_bad_image: "error" or "skip", for images that cannot be read.
        most_skipped: the largest fraction of all images that may be skipped.
        describe: what the numbers of images say of the copy, if anything.
        config: of a builder with several.

    Returns:
        A builder whose splits are the domains.

    Raises:
        UserError: nothing is found, images cannot be read, or what is there was prepared with images left out.
    """
    check_local(root, prepared)
    root, prepared = Path(root), Path(prepared)
    policy = BadImagePolicy(on_bad_image, most_skipped)
    name = config.name if config is not None else builder_class.name

    def write(workspace: Path) -> None:
        images = find(root, workspace)
        check_nothing_absent(images)
        print("\n".join(filter(None, (_found(name, images), describe(images.counts())))), file=sys.stderr)
        builder = builder_class(source=images, policy=policy, config=config, data_dir=prepared)
        builder.download_and_prepare(download_dir=workspace)

    folder = prepared / builder_class.name / (config.name if config is not None else "") / str(builder_class.VERSION)
    written = prepare_once(folder, write)
    builder = open_prepared(folder)
    if not written:
        _check_prepared(name, folder, builder.info, policy)
    return builder


def _found(name: str, images: DomainImages) -> str:
    """What was found and where, in a sentence."""
    kinds = f"{len(images.domains)} domains and {len(images.classes)} classes"
    masks = ", with masks" if images.has_masks else ""
    ignored = f"; other files and folders, ignored: {images.ignored:,}" if images.ignored else ""
    return f"{name}: {len(images.images):,} images of {kinds} in {images.source}{masks}{ignored}."


def _check_prepared(name: str, folder: Path, info: tfds.core.DatasetInfo, policy: BadImagePolicy) -> None:
    """Says where a prepared data set came from: the root that is given now is not looked at.

    Raises:
        UserError: its metadata are not those of this version, or images were left out and should not be.
    """
    metadata = info.metadata or {}
    if not {"source", "skipped", "duplicates"} <= metadata.keys():
        raise UserError(
            f"{folder} was prepared by an earlier version, which did not look for identical images; delete it to "
            "prepare anew."
        )
    skipped = len(metadata["skipped"])
    if skipped and policy.on_bad_image == "error":
        raise UserError(
            f"{name} in {folder} was prepared with images left out that could not be read ({skipped:,}), and "
            "on_bad_image is error; set on_bad_image=skip, or delete the folder to prepare anew."
        )
    print(
        f"Using {name} prepared from {metadata['source']} ({info.splits.total_num_examples:,} images, {skipped:,} left "
        f"out) in {folder}; delete it to prepare anew.",
        file=sys.stderr,
    )
