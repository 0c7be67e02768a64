"""What the builders of domain_folders, vlcs and terra_incognita share: features, reading, writing, bad images."""

import collections
import concurrent.futures
import dataclasses
import functools
import itertools
import os
import re
import sys
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any, ClassVar, Literal

import tensorflow_datasets as tfds
from tqdm import tqdm

from align_jax.data import images
from align_jax.data.datasets.domain_images import DomainImages, LabelledImage, check_nothing_absent
from align_jax.errors import UserError

# Of image files in a shard, in bytes. TFDS holds one shard's examples in memory while it writes.
SHARD_SIZE = 48 << 20
SHOWN = 5


@dataclasses.dataclass(frozen=True)
class BadImagePolicy:
    """What happens when images cannot be read.

    Attributes:
        on_bad_image: "error" refuses the data set, naming them; "skip" leaves them out.
        most_skipped: the largest fraction of all images that may be left out.
    """

    on_bad_image: Literal["error", "skip"] = "error"
    most_skipped: float = 0.01

    def apply(self, name: str, bad: Mapping[str, str], total: int) -> None:
        """Says what was left out, or refuses.

        Raises:
            UserError: names the first of the bad images, and how many there are.
        """
        if not bad:
            return
        shown = ", ".join(f"{image} ({why})" for image, why in itertools.islice(bad.items(), SHOWN))
        shown += f", and {len(bad) - SHOWN:,} more" if len(bad) > SHOWN else ""
        if self.on_bad_image == "error":
            raise UserError(
                f"{len(bad):,} of {total:,} images of {name} cannot be read: {shown}; replace or remove them, or leave "
                f"them out with on_bad_image=skip."
            )
        if len(bad) > self.most_skipped * total:
            raise UserError(
                f"{len(bad):,} of {total:,} images of {name} cannot be read, more than most_skipped="
                f"{self.most_skipped:g} allows: {shown}; get a better copy, or allow more."
            )
        print(f"Left out {len(bad):,} of {total:,} images of {name} that cannot be read: {shown}.", file=sys.stderr)


class DomainImagesBuilder(tfds.core.ShardBasedBuilder, skip_registration=True):  # type: ignore[call-arg]
    """Writes images as they are found, one split a domain; see the README.md beside each child.

    Shards are made here, not by TFDS, which would hold each split in memory up to 1 GB and sort larger ones with
    TensorFlow. Records are in the order of `DomainImages.images`.
    """

    # Nothing is downloaded. Looking for checksums, TFDS would import a package on which it does not depend.
    url_infos: ClassVar[dict[str, Any]] = {}

    def __init__(self, *, source: DomainImages, policy: BadImagePolicy, **arguments: Any) -> None:
        self._source, self._policy = source, policy
        self._bad: dict[str, str] = {}
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
            metadata=tfds.core.MetadataDict(splits=split_names(source.domains), skipped={}),
        )

    def _shard_iterators_per_split(
        self, dl_manager: Any
    ) -> dict[str, list[Callable[[], Iterator[tuple[str, dict[str, Any]]]]]]:
        del dl_manager  # Everything is on disk.
        source = self._source
        by_domain = {
            domain: list(members) for domain, members in itertools.groupby(source.images, lambda image: image.domain)
        }
        progress = tqdm(total=len(source.images), desc=f"Preparing {self.name}", unit=" images", disable=None)
        return {
            split: [functools.partial(self._examples, shard, progress) for shard in shards(by_domain[domain])]
            for domain, split in split_names(source.domains).items()
        }

    def _examples(self, shard: Sequence[LabelledImage], progress: Any) -> Iterator[tuple[str, dict[str, Any]]]:
        for image, example in zip(shard, in_order(_read, shard), strict=True):
            if isinstance(example, images.BadImage):
                self._bad[image.id] = str(example)
            else:
                yield image.id, example
            progress.update()
            if progress.n == progress.total:
                progress.close()

    def _download_and_prepare(self, *arguments: Any, **options: Any) -> None:
        super()._download_and_prepare(*arguments, **options)
        # Still in TFDS's temporary folder: a refusal leaves nothing behind.
        self._policy.apply(self.name, self._bad, len(self._source.images))
        lost = collections.Counter(tuple(image.split("/", 2)[:2]) for image in self._bad)
        check_nothing_absent(
            self._source,
            {
                domain: {name: count - lost[domain, name] for name, count in of_classes.items()}
                for domain, of_classes in self._source.counts().items()
            },
        )
        self.info.metadata["skipped"] = self._bad


def split_names(domains: Iterable[str]) -> dict[str, str]:
    """The split of each domain: its name, with `_` for what TFDS does not allow in the name of a split."""
    names: dict[str, str] = {}
    for domain in domains:
        name = re.sub(r"[^A-Za-z0-9_-]", "_", domain)
        # TFDS keeps "all" for itself.
        name = f"{name}_" if name.lower() == "all" else name
        while name in names.values():
            name += "_"
        names[domain] = name
    return names


def shards(members: Sequence[LabelledImage], size: int = SHARD_SIZE) -> list[list[LabelledImage]]:
    """Cuts a split so that each part has some `size` bytes of images, in order."""
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
    """`map`, by as many threads as there are cores, with a few results held in advance."""
    threads = os.cpu_count() or 1
    with concurrent.futures.ThreadPoolExecutor(threads) as pool:
        waiting: collections.deque[concurrent.futures.Future[Any]] = collections.deque()
        for item in items:
            waiting.append(pool.submit(function, item))
            if len(waiting) > 4 * threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()


def _read(image: LabelledImage) -> dict[str, Any] | images.BadImage:
    """The example, or why there is none."""
    try:
        content = images.storable(_content(image.path))
        example = {"image": content, "label": image.class_name, "domain": image.domain, "id": image.id}
        if image.mask is not None:
            example["mask"] = _mask(_content(image.mask), images.decode_stored(content).shape[:2])
    except images.BadImage as error:
        return error
    return example


def _content(path: str) -> bytes:
    try:
        return Path(path).read_bytes()
    except OSError as error:
        raise images.BadImage(error.strerror or "cannot be opened") from error


def _mask(content: bytes, size: tuple[int, ...]) -> bytes:
    """A grey PNG of the mask."""
    try:
        mask = images.decode_mask(content)
    except images.BadImage as error:
        raise images.BadImage(f"its mask: {error}") from error
    if mask.shape[:2] != size:
        height, width = mask.shape[:2]
        raise images.BadImage(f"its mask has {width} x {height} pixels, the image {size[1]} x {size[0]}")
    return images.as_png(mask)
