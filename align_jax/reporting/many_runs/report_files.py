"""The four files of a report: the same tables to read, to print, to compute with and to look at."""

import pathlib

from align_jax.reporting.many_runs.csv_rows import csv_text
from align_jax.reporting.many_runs.latex import latex
from align_jax.reporting.many_runs.markdown import markdown
from align_jax.reporting.many_runs.page import html
from align_jax.reporting.many_runs.report import Report
from align_jax.runtime.files import write_atomically


def write_report(report: Report, folder: pathlib.Path) -> pathlib.Path:
    """Writes tables.md, tables.tex, tables.csv and index.html, each whole or not at all.

    Returns:
      The page's path. It is one file that loads nothing.
    """
    write_atomically(folder / "tables.md", markdown(report).encode())
    write_atomically(folder / "tables.tex", latex(report).encode())
    write_atomically(folder / "tables.csv", csv_text(report).encode())
    return write_atomically(folder / "index.html", html(report).encode())
