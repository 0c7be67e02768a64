"""A table as LaTeX; what its cells, names and caption hold is text, never a command."""

from align_jax.tables.table import Cell, Table, shortened, text_rows

SIGNS = {
    "\\": r"\textbackslash{}",
    **{sign: f"\\{sign}" for sign in "&%$#_{}"},
    "~": r"\textasciitilde{}",
    "^": r"\textasciicircum{}",
    # After the end of a row these would be its arguments.
    **{sign: f"{{{sign}}}" for sign in "[]*"},
    "<": r"$<$",
    ">": r"$>$",
    "|": r"$|$",
    '"': r"\textquotedbl{}",
    "±": r"$\pm$",
    "−": "$-$",
    "–": "--",
    "√": r"$\surd$",
    "²": "$^2$",
    "↑": r"$\uparrow$",
    "↓": r"$\downarrow$",
    "…": r"\dots{}",
    "�": "?",
}


def latex(table: Table) -> str:
    """A floating booktabs table with its caption above it; its title is not printed."""
    header, rows = text_rows(table, escaped, _cell)
    names = len(table.name_titles)
    lines = [
        r"\begin{table}[htbp]",
        r"\centering\small",
        f"\\caption{{{escaped(' '.join(table.caption))}}}",
        f"\\begin{{tabular}}{{{'l' * names}{'r' * (len(header) - names)}}}",
        r"\toprule",
        " & ".join(header) + r" \\",
        r"\midrule",
    ]
    for position, row in enumerate(rows):
        if len(row) > 1:
            lines.append(" & ".join(row) + r" \\")
            continue
        if position:
            lines.append(r"\midrule")
        lines.append(f"\\multicolumn{{{len(header)}}}{{l}}{{\\emph{{{row[0]}}}}} \\\\")
    return "\n".join([*lines, r"\bottomrule", r"\end{tabular}", r"\end{table}"])


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SIGNS.get(character, character) for character in text)


def _cell(cell: Cell) -> str:
    value = escaped(shortened(cell.value))
    value = f"\\textbf{{{value}}}" if cell.best else value
    error = f" $\\pm$ {escaped(cell.error)}" if cell.error else ""
    interval = escaped(f" [{cell.interval}]") if cell.interval else ""
    note = f" ({escaped(cell.note)})" if cell.note else ""
    return f"{value}{error}{interval}{note}"
