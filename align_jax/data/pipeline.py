"""Makes batches on devices from sources, with Grain. A batch depends only on the seed and the step."""

import contextlib
import dataclasses
import functools
import itertools
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any

import grain
import jax
import numpy as np
from jaxtyping import Int

from align_jax.data.augment import Augmentation, Example, augment, resize
from align_jax.data.domains import Part, Source
from align_jax.data.groups import ClassGroups, label_and_group
from align_jax.runtime.sharding import own_rows, place_batch

# The fields that a training step reads. The others (ids, concepts) stay on the host.
DEVICE_FIELDS = ("image", "label", "domain", "class_group", "mask")


def training_examples(
    sources: Mapping[str, Source],
    *,
    size: int,
    seed: int | Sequence[int],
    with_masks: bool,
    augmentation: Augmentation,
    class_groups: ClassGroups | None = None,
    balanced: bool = False,
) -> grain.MapDataset[Example]:
    """An endless sequence of augmented examples in which the domains take turns.

    Each domain has a seed of its own, and is shuffled anew in every pass. A batch has equally many examples of each
    domain if the number of domains divides its size.

    Args:
      sources: the training domains, in the order of their turns.
      size: side of the images, in pixels.
      seed: of shuffling and augmentation.
      with_masks: whether to keep the true masks, which take time to resize.
      augmentation: how strongly images are changed.
      class_groups: the numbers of the pairs of label and group, if the method reads them.
      balanced: draw each pair of label and group of a domain as often as any other, whatever their sizes. Examples are
        then drawn with replacement, and there are no passes.
    """
    fields = ("image", "label", "mask") if with_masks else ("image", "label")

    def augmented(number: int, example: Example, generator: np.random.Generator) -> Example:
        # Only training domains have numbers: a loss over domains cannot see a domain that is held out.
        numbers = {"domain": np.int64(number)}
        if class_groups is not None:
            numbers["class_group"] = np.int64(class_groups[int(example["label"]), example["group"]])
        example = {field: example[field] for field in fields} | numbers
        return augment(example, generator, size, augmentation)

    # Sums would repeat: the second domain at seed 1 would have the seed of the first one at seed 2.
    seeds = np.random.SeedSequence(seed).generate_state(2 * len(sources)).reshape(-1, 2).tolist()
    domains = [
        _drawn(source, drawing, balanced).random_map(functools.partial(augmented, number), seed=changes)
        for number, (source, (drawing, changes)) in enumerate(zip(sources.values(), seeds, strict=True))
    ]
    return grain.MapDataset.mix(domains)


def _drawn(source: Source, seed: int, balanced: bool) -> grain.MapDataset[Example]:
    """An endless sequence of a domain's examples, see `training_examples`."""
    if not balanced:
        return grain.MapDataset.source(source).shuffle(seed=seed).repeat()
    members: dict[tuple[int, str], list[int]] = {}
    for index, pair in enumerate(label_and_group(source)):
        members.setdefault(pair, []).append(index)
    groups = [np.array(indices) for indices in members.values()]

    def draw(place: int, generator: np.random.Generator) -> Example:
        group = groups[generator.integers(len(groups))]
        return source[int(group[generator.integers(len(group))])]

    return grain.MapDataset.range(len(source)).repeat().random_map(draw, seed=seed)


@dataclasses.dataclass(frozen=True)
class RowsOfBatches:
    """Some rows of every batch of a sequence of examples, one after the other, as a source.

    So each process reads its own examples alone, and all of them together read what one process would.
    """

    examples: grain.MapDataset[Example]
    batch_size: int
    rows: Int[np.ndarray, " n"]

    def __len__(self) -> int:
        return len(self.examples) // self.batch_size * len(self.rows)

    def __getitem__(self, index: int) -> Example | None:
        batch, place = divmod(int(index), len(self.rows))
        return self.examples[batch * self.batch_size + int(self.rows[place])]


class TrainingBatches:
    """Prefetched training batches on the devices of a mesh, which can go on from a saved position.

    The position counts batches. So it is the same for any number of processes, and a run can go on with another one.
    """

    def __init__(
        self,
        examples: grain.MapDataset[Example],
        *,
        batch_size: int,
        mesh: jax.sharding.Mesh,
        threads: int,
        prefetch: int,
        redrawn: Callable[[Any], grain.MapDataset[Example]] | None = None,
    ) -> None:
        """Batches of `batch_size` examples over all devices, by `threads` reading threads, `prefetch` batches ahead.

        `redrawn` makes the examples that `redraw` changes to from its argument.
        """
        self._mesh, self._batch_size, self._threads, self._prefetch = mesh, batch_size, threads, prefetch
        self._redrawn, self._draws = redrawn, None
        self._iterator = self._iterate(examples)

    def _iterate(self, examples: grain.MapDataset[Example]) -> Any:
        own = own_rows(self._mesh, self._batch_size)
        if len(own) < self._batch_size:
            examples = grain.MapDataset.source(RowsOfBatches(examples, self._batch_size, own))
        batches = examples.batch(len(own), drop_remainder=True).to_iter_dataset(
            grain.ReadOptions(num_threads=self._threads, prefetch_buffer_size=max(self._prefetch, 1) * self._batch_size)
        )

        def on_devices(batch: Mapping[str, Any]) -> dict[str, jax.Array]:
            fields = {field: np.asarray(batch[field]) for field in DEVICE_FIELDS if field in batch}
            return place_batch(self._mesh, fields)

        placed = batches.map(on_devices)
        return iter(grain.experimental.ThreadPrefetchIterDataset(placed, prefetch_buffer_size=self._prefetch))

    def __next__(self) -> dict[str, jax.Array]:
        batch: dict[str, jax.Array] = next(self._iterator)
        return batch

    def __iter__(self) -> Iterator[dict[str, jax.Array]]:
        return self

    def redraw(self, draws: Any) -> None:
        """Begins with other examples, `redrawn(draws)`; batches that were read ahead are dropped.

        Args:
          draws: values for JSON, which become a part of the position.
        """
        assert self._redrawn is not None
        examples = self._redrawn(draws)
        self.close()
        self._draws, self._iterator = draws, self._iterate(examples)

    def state(self) -> dict[str, Any]:
        """The position after the last batch that `next` returned, as values for JSON; prefetched ones do not count."""
        state: dict[str, Any] = self._iterator.get_state()
        return state if self._draws is None else {"iterator": state, "draws": self._draws}

    def restore(self, state: dict[str, Any]) -> None:
        """Goes to a position from `state`."""
        if "draws" in state:
            self.redraw(state["draws"])
            state = state["iterator"]
        self._iterator.set_state(state)

    def close(self) -> None:
        """Ends the reading threads."""
        self._iterator.close()


def evaluation_batches(
    source: Source,
    *,
    size: int,
    batch_size: int,
    threads: int,
    indices: np.ndarray | None = None,
    rows: np.ndarray | None = None,
) -> Iterator[dict[str, Any]]:
    """Resized examples in order, in batches on the host; the last batch is padded to the size of the others.

    Args:
      source: the split.
      size: side of the images, in pixels.
      batch_size: rows of every batch, padding included.
      threads: how many threads read ahead.
      indices: which examples; all by default.
      rows: which rows of every batch, in ascending order, as `sharding.own_rows`; all by default. The number of batches
        does not depend on it: a process whose rows are padding takes part in the last batch all the same.

    Yields:
      Stacked fields of these rows, and `valid` [b], which is False where a row is padding (a copy of another example).
    """
    indices = np.arange(len(source)) if indices is None else indices
    rows = np.arange(batch_size) if rows is None else rows
    starts = np.arange(0, len(indices), batch_size)
    places = (starts[:, None] + rows).ravel()
    own = Part(source, indices[places[places < len(indices)]])
    examples = grain.MapDataset.source(own).map(lambda example: resize(example, size))
    options = grain.ReadOptions(num_threads=threads, prefetch_buffer_size=2 * len(rows))
    with contextlib.closing(iter(examples.to_iter_dataset(options))) as iterator:
        for start in starts:
            valid = int((start + rows < len(indices)).sum())
            filler = [] if valid else [resize(source[int(indices[-1])], size)]
            batch = padded_batch([*itertools.islice(iterator, valid), *filler], len(rows))
            yield batch | {"valid": np.arange(len(rows)) < valid}


def padded_batch(rows: Sequence[Mapping[str, Any]], batch_size: int) -> dict[str, Any]:
    """The stacked fields of at least one row, padded with copies of the last one; `valid` [b] is False for these."""
    padded = [*rows, *[rows[-1]] * (batch_size - len(rows))]
    fields = {field: np.stack([np.asarray(row[field]) for row in padded]) for field in rows[0]}
    return fields | {"valid": np.arange(batch_size) < len(rows)}
