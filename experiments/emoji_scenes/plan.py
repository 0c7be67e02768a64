"""The runs of the tables: rows, their settings, and the seeds of each correlation."""

from collections.abc import Mapping
from typing import NamedTuple

from align_jax.sweeping.cells import SweepCell

# Settings were tuned on another vendor and fold: twemoji, fold 1.
DOMAIN = "fluent3d"
FIVE, TWO = (0, 1, 2, 3, 4), (0, 1)


class Row(NamedTuple):
    """A row of the table.

    Attributes:
      name: as it is printed.
      algorithm: `config.algorithm`.
      settings: other config fields, as written in a command.
      seeds: by the class-background correlation of the training images.
    """

    name: str
    algorithm: str
    settings: Mapping[str, str]
    seeds: Mapping[str, tuple[int, ...]]


MAIN = {"0.3": FIVE, "0.7": FIVE}
OTHERS = {"0.7": TWO}
BEYOND_THE_PAPER = {"0.3": TWO, "0.7": TWO}
# Beyond the paper: see losses.swapped_cross_entropy.
SWAPPED = {"align.classifier.swapped_cls": "1.0"}
SCRATCH = {"classifier.pretrained": ""}

# The ceiling: without a correlation there is nothing about backgrounds to learn.
CEILING = Row("ERM at correlation 0", "erm", {}, {"0": FIVE})
TRUE_MASKS = Row("true masks", "align", {"guidance": "true"}, MAIN)
ERM = Row("ERM", "erm", {}, MAIN)

ROWS: tuple[Row, ...] = (
    ERM,
    Row("DRE", "dre", {}, MAIN),
    Row("ALIGN", "align", {}, MAIN),
    Row("ALIGN, swapped backgrounds", "align", SWAPPED, BEYOND_THE_PAPER),
    TRUE_MASKS,
    Row("true masks, swapped backgrounds", "align", {"guidance": "true"} | SWAPPED, BEYOND_THE_PAPER),
    CEILING,
    Row("SGT", "sgt", {}, OTHERS),
    # DomainBed's penalties start after a tenth of its 5000 steps.
    Row("IRM", "irm", {"irm.switch_step": "60"}, OTHERS),
    Row("GroupDRO", "group_dro", {}, OTHERS),
    Row("Mixup", "mixup", {}, OTHERS),
    Row("CORAL", "coral", {}, OTHERS),
    Row("V-REx", "vrex", {"vrex.switch_step": "60"}, OTHERS),
    Row("RRR, true masks", "rrr", {}, OTHERS),
    Row("GRADIA, true masks", "gradia", {}, OTHERS),
    Row("HAICS, true masks", "haics", {}, OTHERS),
    Row("ERM from scratch", "erm", SCRATCH, OTHERS),
    Row("ALIGN from scratch", "align", SCRATCH, OTHERS),
    Row("true masks from scratch", "align", {"guidance": "true"} | SCRATCH, OTHERS),
)


def cell(row: Row, correlation: str, seed: int) -> SweepCell:
    """One run."""
    return SweepCell(
        row.algorithm, DOMAIN, seed, tuple(sorted({**row.settings, "data.correlation": correlation}.items()))
    )


def cells(rows: tuple[Row, ...] = ROWS) -> list[SweepCell]:
    """Every run: the first seed of all rows before the second, so that a first table is complete early."""
    found = [
        (seed, cell(row, correlation, seed))
        for row in rows
        for correlation, seeds in row.seeds.items()
        for seed in seeds
    ]
    return [run for _, run in sorted(found, key=lambda pair: pair[0])]
