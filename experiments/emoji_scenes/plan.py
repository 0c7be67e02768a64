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
SELECTED = {"selection": "training_domain_validation", "evaluation.every": "150"}
SCRATCH = {"classifier.pretrained": ""}
# Given masks are right from the first step, so that composites can take the place of the images at once.
COMPOSITES_OF_TRUE_MASKS = {"guidance": "true", "schedule.warmup": "0.0", "background_swap.mistakes": "1"}

# The ceiling: without a correlation there is nothing about backgrounds to learn.
CEILING = Row("ERM at correlation 0", "erm", {}, {"0": FIVE})
TRUE_MASKS = Row("true masks", "align", {"guidance": "true"}, MAIN)
ERM = Row("ERM", "erm", {}, MAIN | {"0.9": FIVE})
SWAP = Row("background swap", "background_swap", {}, MAIN | {"0.9": FIVE})
REDRAWN = Row("redrawn mistakes alone", "background_swap", {"guidance": "none"}, {"0.7": FIVE})


def without(part: str, **settings: str) -> Row:
    """A row of the ablation: background swap with one part switched off or changed; `__` stands for a dot."""
    fields = {f"background_swap.{field.replace('__', '.')}": value for field, value in settings.items()}
    return Row(f"background swap, {part}", "background_swap", fields, OTHERS)


ROWS: tuple[Row, ...] = (
    ERM,
    Row("DRE", "dre", {}, MAIN),
    Row("ALIGN", "align", {}, MAIN),
    SWAP,
    TRUE_MASKS,
    Row("background swap, true masks", "background_swap", COMPOSITES_OF_TRUE_MASKS, MAIN),
    CEILING,
    REDRAWN,
    without("no redrawing", mistakes="1"),
    without("masker with composites", masker__composites="True"),
    without("l1 as it is", masker__growth="1.0"),
    without("holes not filled", swap__fill="none"),
    without("partner of another class", swap__partner="other_class"),
    without("masks not sharpened", swap__sharpness="0.0"),
    without("plain cross-entropy at 0.3", classifier__cls="0.3"),
    without("plain cross-entropy at 1", classifier__cls="1.0"),
    without("with L_reg", classifier__regularisation="1.0"),
    without("no L_egl", classifier__guidance="0.0"),
    without("L_egl of the paper's form at 0.3", classifier__guidance="0.3", classifier__form="bce"),
    Row("ERM, selected by validation", "erm", SELECTED, OTHERS),
    Row("background swap, selected by validation", "background_swap", SELECTED, OTHERS),
    Row("JTT", "jtt", {}, OTHERS),
    Row("JTT, 10 times as often", "jtt", {"jtt.mistakes": "10"}, OTHERS),
    Row("GroupDRO, class x background", "group_dro", {"group_dro.over": "group"}, OTHERS),
    Row(
        "GroupDRO, class x background, balanced",
        "group_dro",
        {"group_dro.over": "group", "data.balanced_groups": "True"},
        OTHERS,
    ),
    Row("ERM, class x background balanced", "erm", {"data.balanced_groups": "True"}, OTHERS),
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
    Row("background swap from scratch", "background_swap", SCRATCH, OTHERS),
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
