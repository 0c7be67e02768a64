"""A table as text for a terminal."""

from align_jax.tables.table import Cell, Table, text_rows


def terminal(table: Table, rule: bool = True) -> str:
    """Columns of equal width, names to the left and numbers to the right, with the caption's sentences below.

    The title is not printed. With a `rule`, a line separates the header from the rows.
    """
    header, rows = text_rows(table, str, _cell)
    whole = [header, *(row for row in rows if len(row) > 1)]
    widths = [max(map(len, column)) for column in zip(*whole, strict=True)]
    if rule:
        rows.insert(0, ["-" * width for width in widths])
    names = len(table.name_titles)
    lines = []
    for row in (header, *rows):
        cells = [
            text.ljust(width) if position < names else text.rjust(width)
            for position, (text, width) in enumerate(zip(row, widths, strict=False))
        ]
        lines.append("  ".join(cells))
    return "\n".join([*lines, *table.caption])


def _cell(cell: Cell) -> str:
    interval = f" [{cell.interval}]" if cell.interval else ""
    note = f" ({cell.note})" if cell.note else ""
    return f"{cell.text}{interval}{note}"
