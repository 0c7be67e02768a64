"""What a table is: text in cells, in rows, in groups, under columns. How numbers become text is said elsewhere."""

from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Literal, NamedTuple

MISSING = "–"
"""Stands for a missing value."""

MOST_CHARACTERS = 80
"""The most of a name that a table shows; names from a folder or a file have any length."""

Better = Literal["higher", "lower", "neither"]


@dataclass(frozen=True)
class Cell:
    """A printed value and what is printed beside it.

    Attributes:
      value: as printed.
      error: the standard error, without its sign.
      interval: its ends, as in `+0.1, +0.5`; printed in square brackets.
      note: what stands in brackets behind the value.
      difference: to a reference, with its sign; on a page only.
      control: the same value for a random map; on a page only.
      best: printed in bold.
      beaten_by_control: the control is at least as good.
    """

    value: str = MISSING
    error: str = ""
    interval: str = ""
    note: str = ""
    difference: str = ""
    control: str = ""
    best: bool = False
    beaten_by_control: bool = False

    @property
    def text(self) -> str:
        """The value, shortened if need be, with its error."""
        value = shortened(self.value)
        return f"{value} ± {self.error}" if self.error else value


@dataclass(frozen=True)
class Column:
    """What stands above the cells: a title, on a page a subtitle and which way is better, and a unit.

    `is_mean` sets the column apart from those that it is the mean of.
    """

    title: str
    subtitle: str = ""
    unit: str = ""
    better: Better = "neither"
    is_mean: bool = False

    @property
    def arrow(self) -> str:
        return {"higher": "↑", "lower": "↓", "neither": ""}[self.better]


@dataclass(frozen=True)
class Row:
    """A cell for each column, after the row's names.

    Attributes:
      names: one for each of the table's `name_titles`; rows below each other share the first ones on a page.
      cells: one for each of the table's columns.
      source: who published the row; empty for our own.
      is_mean: of rows above it.
    """

    names: tuple[str, ...]
    cells: tuple[Cell, ...]
    source: str = ""
    is_mean: bool = False


class Group(NamedTuple):
    """Rows under a title of their own, with what it means; the only group of a table may have none."""

    title: str
    rows: tuple[Row, ...]
    meaning: str = ""


@dataclass(frozen=True)
class Table:
    """Groups of rows under columns; `name_titles` stand above the rows' names, the sentences of `caption` below all."""

    title: str
    name_titles: tuple[str, ...]
    columns: tuple[Column, ...]
    groups: tuple[Group, ...]
    caption: tuple[str, ...] = ()

    @property
    def rows(self) -> tuple[Row, ...]:
        """The rows of all groups."""
        return tuple(row for group in self.groups for row in group.rows)


def plain_table(
    name_title: str, titles: Iterable[str], rows: Iterable[tuple[str, Iterable[Cell | str]]], title: str = ""
) -> Table:
    """A table of one group without a title; each row begins with its only name, under `name_title`."""
    printed = (
        Row((name,), tuple(cell if isinstance(cell, Cell) else Cell(cell) for cell in cells)) for name, cells in rows
    )
    return Table(title, (name_title,), tuple(map(Column, titles)), (Group("", tuple(printed)),))


def shortened(text: str, most: int = MOST_CHARACTERS) -> str:
    """Text as a table shows it: at most so many characters, the last of them an ellipsis where text is left out."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def text_rows(
    table: Table, escaped: Callable[[str], str], written: Callable[[Cell], str]
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table in a format of text, which prints any text as `escaped`, a cell as `written`.

    A row of one entry is the title of those below it.
    """

    def name(text: str) -> str:
        return escaped(shortened(text))

    rows: list[list[str]] = []
    for group in table.groups:
        if group.title:
            rows.append([name(f"{group.title} {group.meaning}".strip())])
        for row in group.rows:
            *first, last = row.names
            last = f"{shortened(last)} (published, {row.source})" if row.source else last
            rows.append([*map(name, first), name(last), *map(written, row.cells)])
    titles = (*table.name_titles, *(f"{column.title} {column.unit}".strip() for column in table.columns))
    return [*map(name, titles)], rows
