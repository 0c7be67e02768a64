"""The runs of the table: rows and their settings."""

from typing import NamedTuple

from align_jax.sweeping.cells import SweepCell
from experiments.guidance_forms.method import NAME

# The split on which settings are tuned: no result here is one that docs/emoji_scenes.md reports.
DOMAIN, FOLD, SEED = "twemoji", 1, 0


class Row(NamedTuple):
    """A row of the table.

    Attributes:
      name: as it is printed.
      correlation: of the training images.
      form: of L_egl, in `forms.FORMS`; none for plain cross-entropy.
      weight: of the form, as written in a command.
    """

    name: str
    correlation: str = "0.7"
    form: str = ""
    weight: str = ""

    @property
    def algorithm(self) -> str:
        """`config.algorithm`."""
        return NAME if self.form else "erm"


def guided(name: str, form: str, weight: str) -> Row:
    """A row of a form of L_egl."""
    return Row(f"{name}, weight {weight}", form=form, weight=weight)


ERM = Row("ERM")
CEILING = Row("ERM at correlation 0", "0")

# In the order in which they run, so that an early table says most.
ROWS: tuple[Row, ...] = (
    ERM,
    guided("BCE (the paper's form)", "bce", "1"),
    guided("energy, all classes", "energy_of_all_classes", "1"),
    guided("evidence in sum", "evidence_in_sum", "1"),
    guided("energy", "energy", "1"),
    guided("BCE without normalisation", "bce_without_normalisation", "1"),
    guided("earlier map, evidence in sum", "earlier_evidence_in_sum", "1"),
    CEILING,
    guided("evidence in sum", "evidence_in_sum", "10"),
    guided("energy, all classes", "energy_of_all_classes", "5"),
    guided("earlier map, BCE", "earlier_bce", "1"),
    guided("earlier map, energy, all classes", "earlier_energy", "1"),
    guided("earlier map, evidence in sum", "earlier_evidence_in_sum", "10"),
)


def cell(row: Row) -> SweepCell:
    """A row's run."""
    settings = {"data.fold": str(FOLD), "data.correlation": row.correlation}
    if row.form:
        settings |= {f"{NAME}.form": row.form, f"{NAME}.weight": row.weight}
    return SweepCell(row.algorithm, DOMAIN, SEED, tuple(sorted(settings.items())))
