"""Reads the records of a prepared data set as examples."""

import contextlib
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Literal

import tensorflow_datasets as tfds

from align_jax.data.images import decode_stored
from align_jax.data.preparing.once import damaged

# Pictures and their channels.
PICTURES: dict[str, Literal[1, 3]] = {"image": 3, "mask": 1}


class Records:
    """A TFDS split as a `domains.Source`: pictures as uint8 [h w c], text as `str`, numbers as they are.

    OpenCV decodes the pictures, because TFDS's own decoder needs TensorFlow for some of them.

    Raises:
      UserError: the files are damaged, when they are opened or when a record is read.
    """

    def __init__(self, builder: tfds.core.DatasetBuilder, split: str) -> None:
        self._folder, self._split = Path(builder.data_dir), split
        with self._naming_damage():
            self._records: Any = builder.as_data_source(
                split, decoders={name: tfds.decode.SkipDecoding() for name in PICTURES if name in builder.info.features}
            )
            if len(self._records) != builder.info.splits[split].num_examples:
                raise ValueError(f"{len(self._records)} of {builder.info.splits[split].num_examples} records")

    def __len__(self) -> int:
        return len(self._records)

    def __getitem__(self, index: int) -> dict[str, Any]:
        with self._naming_damage():
            return {name: _decoded(name, value) for name, value in self._records[int(index)].items()}

    def column(self, field: str) -> list[Any]:
        """A field of every record, without decoding the others."""
        with self._naming_damage():
            return [_decoded(field, self._records[index][field]) for index in range(len(self))]

    @contextlib.contextmanager
    def _naming_damage(self) -> Iterator[None]:
        try:
            yield
        except Exception as error:  # a damaged file can raise anything in array_record and TFDS
            raise damaged(self._folder, f"{self._split}: {error}") from error


def _decoded(name: str, value: Any) -> Any:
    if name in PICTURES:
        return decode_stored(value, PICTURES[name])
    return value.decode() if isinstance(value, bytes) else value
