"""Prepares a data set of images in folders, or opens it if it is prepared already."""

import os
from collections.abc import Callable
from pathlib import Path

import tensorflow_datasets as tfds

from align_jax.data.image_files import listing, unreadable
from align_jax.data.preparing.builder import DomainImagesBuilder
from align_jax.data.preparing.image_folders import Counts, DomainImages, check_nothing_absent
from align_jax.data.preparing.once import check_local, open_prepared, prepare_once
from align_jax.data.preparing.policies import SHOWN, OnBadImage, OnDuplicate, Policy
from align_jax.data.preparing.what_is_there import counted
from align_jax.errors import UserError, listed
from align_jax.runtime.terminal import say


def prepare_images(
    builder_class: type[DomainImagesBuilder],
    find: Callable[[Path, Path], DomainImages],
    root: str | Path,
    prepared: str | Path,
    *,
    on_bad_image: OnBadImage = "error",
    most_skipped: float = 0.01,
    on_duplicate: OnDuplicate = "keep",
    describe: Callable[[Counts], str] = lambda counts: "",
    config: tfds.core.BuilderConfig | None = None,
) -> tfds.core.DatasetBuilder:
    """Writes a data set under `prepared`, unless it is there, and returns a builder with a split for each domain.

    Args:
        builder_class: the data set's.
        find: finds the images, given `root` and a folder to extract archives to.
        root: the user's copy: a folder, the folder above it, or an archive; not needed once prepared.
        prepared: a local folder that all data sets share; it is made if it is not there.
        on_bad_image, most_skipped, on_duplicate: what to do about images that cannot be read, and about images that are
            in several domains; see `Policy`.
        describe: what to print about the copy, given the counts of its images.
        config: of a builder that has several.

    Raises:
        UserError: no images are found, some cannot be read, or the prepared data set cannot be used.
    """
    check_local(root, prepared)
    root, prepared = Path(root), Path(prepared)
    policy = Policy(on_bad_image, most_skipped, on_duplicate)
    name = config.name if config is not None else builder_class.name

    def write(workspace: Path) -> None:
        images = _found(find, root, workspace)
        check_nothing_absent(images)
        policy.apply_to_folders(images)
        for line in (_summary(name, images), *describe(images.counts()).splitlines()):
            say(line)
        builder = builder_class(source=images, policy=policy, config=config, data_dir=prepared)
        builder.download_and_prepare(download_dir=workspace)

    folder = prepared / builder_class.name / (config.name if config is not None else "") / str(builder_class.VERSION)
    if not folder.exists() and not os.path.exists(root):
        _found(find, root, prepared)  # which says what is missing, before a folder is made
    written = prepare_once(folder, write)
    builder = open_prepared(folder)
    if not written:
        _check_prepared(name, folder, builder.info, policy)
    return builder


def _summary(name: str, images: DomainImages) -> str:
    """One line about what was found: how much of what, and what is not taken."""
    domains, classes = counted(len(images.domains), "domain"), counted(len(images.classes), "class", "classes")
    named = listed(images.domains, SHOWN)
    deeper = sum("/" in image.file_name for image in images.images)
    below = f" ({deeper:,} of them in folders below a class's)" if deeper else ""
    masks = ", with masks" if images.has_masks else ""
    ignored = f"; not taken: {listing(images.others)}" if images.others else ""
    return (
        f"Preparing {name}: {counted(len(images.images), 'image')}{below} of {domains} ({named}) and {classes} in "
        f"{images.source}{masks}{ignored}."
    )


def _found(find: Callable[[Path, Path], DomainImages], root: Path, workspace: Path) -> DomainImages:
    try:
        return find(root, workspace)
    except PermissionError as error:
        raise unreadable(error.filename or root, error) from error


def _check_prepared(name: str, folder: Path, info: tfds.core.DatasetInfo, policy: Policy) -> None:
    """Prints where a prepared data set came from, since the root that is given now is not read; or refuses it."""
    metadata = info.metadata or {}
    if not {"source", "skipped", "duplicates"} <= metadata.keys():
        raise UserError(
            f"{folder} was prepared by an earlier version, which did not find identical images; delete it to prepare "
            "anew."
        )
    skipped = len(metadata["skipped"])
    folders = len(metadata.get("without_images", ()))
    if (skipped or folders) and policy.on_bad_image == "error":
        what = f"unreadable images left out ({skipped:,})" if skipped else f"folders left out ({folders:,})"
        raise UserError(
            f"{name} in {folder} was prepared with {what}, but on_bad_image is error; set on_bad_image=skip, or delete "
            "the folder to prepare anew."
        )
    # Earlier versions did not look for images that are in several domains.
    shared = len(metadata["shared"]) if "shared" in metadata else None
    if policy.on_duplicate != "keep" and shared != 0 and not metadata.get("dropped"):
        known = (
            f"with {counted(shared, 'file')} that are in several domains"
            if shared
            else "by an earlier version, which did not look for them,"
        )
        raise UserError(
            f"{name} in {folder} was prepared {known}, but on_duplicate is {policy.on_duplicate}; set "
            "on_duplicate=keep, or delete the folder to prepare anew."
        )
    dropped = len(metadata.get("dropped", ()))
    if dropped and policy.on_duplicate == "keep":
        raise UserError(
            f"{name} in {folder} was prepared with on_duplicate=drop, which left out {counted(dropped, 'image')}, but "
            "on_duplicate is keep; set on_duplicate=drop, or delete the folder to prepare anew."
        )
    leak = f", {counted(shared, 'file')} in several domains" if shared and not dropped else ""
    say(
        f"Using {name} prepared from {metadata['source']} ({info.splits.total_num_examples:,} images, "
        f"{skipped + dropped:,} left out{leak}) in {folder}; delete it to prepare anew."
    )
