"""A table as Markdown; what its cells and names hold is text, never markup."""

import re

from align_jax.tables.table import Cell, Table, text_rows


def markdown(table: Table) -> str:
    """The table below its title and above its caption, aligned for reading in a terminal."""
    header, rows = text_rows(table, escaped, _cell)
    whole = [header, *([f"*{row[0]}*"] + [""] * (len(header) - 1) if len(row) == 1 else row for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*whole, strict=True)]
    names = len(table.name_titles)
    lines = [
        "| " + " | ".join([*map(str.ljust, row[:names], widths), *map(str.rjust, row[names:], widths[names:])]) + " |"
        for row in whole
    ]
    rules = [*("-" * (width + 2) for width in widths[:names]), *("-" * (width + 1) + ":" for width in widths[names:])]
    lines.insert(1, "|".join(["", *rules, ""]))
    title = [f"### {escaped(table.title)}"] if table.title else []
    caption = [escaped(" ".join(table.caption))] if table.caption else []
    return "\n\n".join([*title, "\n".join(lines), *caption])


def escaped(text: str) -> str:
    """Text as Markdown prints it; an underscore inside a word needs no care."""
    return re.sub(r"([\\`*\[\]<>|&~$])|(?<!\w)_|_(?!\w)", lambda match: f"\\{match[0]}", text)


def _cell(cell: Cell) -> str:
    text = f"**{escaped(cell.text)}**" if cell.best else escaped(cell.text)
    interval = f" [{escaped(cell.interval)}]" if cell.interval else ""
    note = f" ({escaped(cell.note)})" if cell.note else ""
    return f"{text}{interval}{note}"
