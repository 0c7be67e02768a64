"""Groups of examples: a text field `group` names an example's environment, such as the background that it shows.

A *class group* is a pair of class and group, such as land birds on water.
"""

from collections.abc import Iterator, Mapping

from align_jax.data.domains import DomainData, Source, column
from align_jax.errors import UserError

ClassGroups = Mapping[tuple[int, str], int]
"""The number of each pair of label and group."""

# A weight each, and a row of the membership of a batch.
MOST_CLASS_GROUPS = 10_000


def class_groups(data: DomainData) -> ClassGroups:
    """Numbers the pairs of label and group that the training examples have, in the order of the labels and names.

    Raises:
      UserError: the data set has no groups, or too many.
    """
    if not all("group" in source[0] for source in data.train.values()):
        raise UserError(
            f"Training is to be told groups, but {data.name} has none; set config.data.group to 'folder' or to a CSV "
            "file, or choose training without groups (config.group_dro.over=domain, config.data.balanced_groups=False)."
        )
    pairs = sorted({pair for source in data.train.values() for pair in label_and_group(source)})
    if len(pairs) > MOST_CLASS_GROUPS:
        raise UserError(
            f"The training images of {data.name} have {len(pairs):,} pairs of class and group, and a method can weigh "
            f"at most {MOST_CLASS_GROUPS:,}; set config.data.group to a coarser grouping."
        )
    return {pair: number for number, pair in enumerate(pairs)}


def label_and_group(source: Source) -> Iterator[tuple[int, str]]:
    """The pair of each example, in order."""
    return zip(map(int, column(source, "label")), column(source, "group"), strict=True)
