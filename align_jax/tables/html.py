"""A table as HTML; what its cells and names hold is text, never markup."""

import pathlib
from collections.abc import Sequence

import jinja2
from markupsafe import Markup

from align_jax.tables.table import Row, Table, shortened


def environment(folder: pathlib.Path) -> jinja2.Environment:
    """Templates of HTML. What a run left on disk is data for them, never markup."""
    return jinja2.Environment(
        loader=jinja2.FileSystemLoader(folder),
        autoescape=True,
        undefined=jinja2.StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


_ENVIRONMENT = environment(pathlib.Path(__file__).parent)
_ENVIRONMENT.filters["shortened"] = shortened


def html(table: Table, style: str = "") -> Markup:
    """The table in a frame that scrolls, for a page that has the styles of `reporting/templates`.

    A screen reader reads its title; its caption is left to the page.

    Args:
      table: the table.
      style: `in-line` for tables that stand below each other, with columns of one width; `text` for cells of text.
    """
    groups = [(group, zip(group.rows, _spans(group.rows), strict=True)) for group in table.groups]
    return Markup(_ENVIRONMENT.get_template("table.html").render(table=table, groups=groups, style=style))


def _spans(rows: Sequence[Row]) -> list[list[int]]:
    """Over how many rows each name of a row reaches: 0 where the row above has it too. Last names stand alone."""
    spans = [[1] * len(row.names) for row in rows]
    for position in range(len(rows[0].names) - 1 if rows else 0):
        first = 0
        for below in range(1, len(rows)):
            if rows[below].names[: position + 1] == rows[first].names[: position + 1]:
                spans[first][position], spans[below][position] = spans[first][position] + 1, 0
            else:
                first = below
    return spans
