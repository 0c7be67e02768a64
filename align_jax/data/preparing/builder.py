"""The builder of data sets of images in folders: it checks each image, writes it, and reports the bad ones."""

import collections
import concurrent.futures
import functools
import hashlib
import itertools
import os
import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from typing import Any, ClassVar

import tensorflow_datasets as tfds
from tqdm import tqdm

from align_jax.data import images
from align_jax.data.image_files import read_content
from align_jax.data.preparing.image_folders import DomainImages, LabelledImage, check_nothing_absent
from align_jax.data.preparing.once import STOPPED
from align_jax.data.preparing.policies import Policy, unusual_counts
from align_jax.data.preparing.what_is_there import counted
from align_jax.runtime.interruption import stop_if_asked
from align_jax.runtime.terminal import say

# Bytes of image files in a shard. TFDS holds one shard's examples in memory while it writes.
SHARD_SIZE = 48 << 20


class DomainImagesBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes one split for each domain, with records in the order of `DomainImages.images`.

    Shards are made here, because TFDS would hold each split in memory up to 1 GB, and sort larger ones with TensorFlow.

    `info.metadata` has `splits`, the split of each domain; `source`, the user's folder or archive; `skipped`, for each
    bad image that was left out its id and the reason; `without_images`, the folders that were left out; `duplicates`,
    for each domain the groups of identical files, as indices within the split; `shared`, the groups of identical files
    of several domains, as ids; and `dropped`, the ids of those that were left out for it.
    """

    VERSION = tfds.core.Version("1.0.0")
    RELEASE_NOTES: ClassVar[dict[str, str]] = {"1.0.0": "First release."}
    # Nothing is downloaded. Without this line TFDS imports a package that may not be installed, to find checksums.
    url_infos: ClassVar[dict[str, Any]] = {}

    def __init__(self, *, source: DomainImages, policy: Policy, **arguments: Any) -> None:
        self._source, self._policy = source, policy
        self._bad: dict[str, str] = {}
        # SHA-256 of the files that are stored, in the order of each split's records.
        self._digests: dict[str, list[bytes]] = {domain: [] for domain in source.domains}
        # The first domain of each file; the files that another domain has too; and the ids that are dropped for it.
        self._first: dict[bytes, str] = {}
        self._shared: dict[bytes, list[str]] = {}
        self._dropped: dict[str, bytes] = {}
        super().__init__(file_format="array_record", **arguments)

    def _info(self) -> tfds.core.DatasetInfo:
        source = self._source
        features = {
            "image": tfds.features.Image(shape=(None, None, 3), doc="The file's own bytes, mostly."),
            "label": tfds.features.ClassLabel(names=source.classes),
            "domain": tfds.features.ClassLabel(names=source.domains),
            "id": tfds.features.Text(doc="DOMAIN/CLASS/FILE; unique."),
        }
        if source.has_masks:
            features["mask"] = tfds.features.Image(shape=(None, None, 1), encoding_format="png")
        return self.dataset_info_from_configs(
            features=tfds.features.FeaturesDict(features),
            supervised_keys=("image", "label"),
            metadata=tfds.core.MetadataDict(
                splits=split_names(source.domains),
                source=str(source.source.resolve()),
                skipped={},
                without_images=list(source.without_images),
                duplicates={},
                shared=[],
                dropped=[],
            ),
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[str, dict[str, Any]]]]]]:
        del dl_manager  # Everything is on disk.
        splits = split_names(self._source.domains)
        return {
            splits[domain]: [functools.partial(self._examples, shard) for shard in shards(members)]
            for domain, members in itertools.groupby(self._source.images, lambda image: image.domain)
        }

    def _examples(self, shard: Sequence[LabelledImage]) -> Iterator[tuple[str, dict[str, Any]]]:
        for image, result in zip(shard, in_order(_read, shard), strict=True):
            stop_if_asked(STOPPED)
            if isinstance(result, images.BadImage):
                self._bad[image.id] = str(result)
            else:
                example, digest = result
                if self._is_kept(image, digest):
                    self._digests[image.domain].append(digest)
                    yield image.id, example
            self._progress.update()

    def _is_kept(self, image: LabelledImage, digest: bytes) -> bool:
        """Notes an image that is in an earlier domain too. TFDS writes the domains in their order, one by one."""
        if self._first.setdefault(digest, image.domain) == image.domain:
            return True
        self._shared.setdefault(digest, [])
        if self._policy.on_duplicate == "drop":
            self._dropped[image.id] = digest
        return image.id not in self._dropped

    def _download_and_prepare(self, *arguments: Any, **options: Any) -> None:
        found = self._source.images
        self._progress = tqdm(total=len(found), desc=f"Preparing {self.name}", unit=" images", disable=None)
        with images.without_pillow_warnings(), self._progress:
            super()._download_and_prepare(*arguments, **options)
        # All is still in TFDS's temporary folder: after a refusal nothing remains.
        name = self.builder_config.name if self.builder_config else self.name
        self._policy.apply_to_bad(name, self._bad, self._source)
        kept = self._source._replace(
            images=tuple(image for image in found if image.id not in self._bad and image.id not in self._dropped)
        )
        check_nothing_absent(kept, [image for image in found if self._dropped and image.id in self._dropped])
        shared = self._groups_of_several_domains(kept.images)
        self._policy.apply_to_shared(name, shared)
        for sentence in unusual_counts(self._source.counts(), kept.counts()):
            say(sentence)
        self.info.metadata["skipped"] = self._bad
        self.info.metadata["duplicates"] = self._duplicates()
        self.info.metadata["shared"], self.info.metadata["dropped"] = shared, list(self._dropped)

    def _groups_of_several_domains(self, kept: Sequence[LabelledImage]) -> list[list[str]]:
        """The ids of identical files, those that are kept first."""
        for image, digest in zip(kept, itertools.chain(*self._digests.values()), strict=True):
            if digest in self._shared:
                self._shared[digest].append(image.id)
        for identifier, digest in self._dropped.items():
            self._shared[digest].append(identifier)
        return list(self._shared.values())

    def _duplicates(self) -> dict[str, list[list[int]]]:
        """The groups of identical files in each domain that has any; they are printed too."""
        groups = {domain: found for domain, digests in self._digests.items() if (found := identical(digests))}
        if groups:
            shown = ", ".join(
                f"{domain} {sum(map(len, g)):,} in {counted(len(g), 'group')}" for domain, g in groups.items()
            )
            text = f"Images of {self.info.full_name} whose files are identical within their domain: {shown}."
            say(text)
        return groups


def identical(digests: Iterable[bytes]) -> list[list[int]]:
    """The indices of each digest that comes twice or more."""
    groups: dict[bytes, list[int]] = {}
    for index, digest in enumerate(digests):
        groups.setdefault(digest, []).append(index)
    return [group for group in groups.values() if len(group) > 1]


def split_names(domains: Iterable[str]) -> dict[str, str]:
    """The split of each domain: the domain's name, with `_` for letters that TFDS does not allow in it."""
    names: dict[str, str] = {}
    for domain in domains:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", domain)
        # In TFDS "all" means every split.
        name = f"{name}_" if name.lower() == "all" else name
        while name in names.values():
            name += "_"
        names[domain] = name
    return names


def shards(members: Iterable[LabelledImage], size: int = SHARD_SIZE) -> list[list[LabelledImage]]:
    """Cuts a split, in order, into parts of at most `size` bytes of images (or of one larger image)."""
    result: list[list[LabelledImage]] = [[]]
    filled = 0
    for image in members:
        if result[-1] and filled + image.size > size:
            result.append([])
            filled = 0
        result[-1].append(image)
        filled += image.size
    return result


def in_order(function: Callable[[Any], Any], items: Iterable[Any]) -> Iterator[Any]:
    """`map` with one thread for each core; a few results are made in advance."""
    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[concurrent.futures.Future[Any]] = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(image: LabelledImage) -> tuple[dict[str, Any], bytes] | images.BadImage:
    """The example and the digest of the image's file, or what is wrong with it."""
    try:
        file = read_content(image.path)
        content = images.storable(file)
        example = {"image": content, "label": image.class_name, "domain": image.domain, "id": image.id}
        if image.mask is not None:
            example["mask"] = _mask(read_content(image.mask), images.decode_stored(content).shape[:2])
    except images.BadImage as error:
        return error
    return example, hashlib.sha256(file).digest()


def _mask(content: bytes, size: tuple[int, ...]) -> bytes:
    try:
        mask = images.decode_mask(content)
    except images.BadImage as error:
        raise images.BadImage(f"its mask: {error}") from error
    if mask.shape[:2] != size:
        height, width = mask.shape[:2]
        raise images.BadImage(f"its mask has {width} x {height} pixels, the image {size[1]} x {size[0]}")
    return images.as_png(mask)
