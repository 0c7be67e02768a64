"""What a table is: rows of cells, in groups, under columns, with a caption."""

from dataclasses import dataclass

from align_jax.reporting.columns import Metric
from align_jax.reporting.many_runs.cells import Cell


@dataclass(frozen=True)
class Row:
    """A method's cells in the order of the columns, and their average; `source` is who published them."""

    name: str
    cells: tuple[Cell, ...]
    average: Cell
    source: str = ""


@dataclass(frozen=True)
class Group:
    """Rows that belong together, such as those of one domain held out; the only group of a table has no title."""

    title: str
    rows: tuple[Row, ...]


@dataclass(frozen=True)
class BenchmarkTable:
    """Methods by domains for one metric and one role.

    Attributes:
      groups: a single one without title; or, where the tested domains are not the one that the protocol singles out,
        one for each of those, and their mean.
      published: other people's rows; never compared with ours.
      usual_seeds: over how many seeds most of our cells are; the others say over how many they are.
      caption: sentences on this table; `legend` has those that say how to read it.
    """

    metric: Metric
    role: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    published: tuple[Row, ...]
    usual_seeds: int
    caption: tuple[str, ...]


@dataclass(frozen=True)
class ClassTable:
    """Accuracy by class (rows) and method (columns); a row's `average` is not used."""

    role: str
    title: str
    columns: tuple[str, ...]
    groups: tuple[Group, ...]
    caption: tuple[str, ...]
