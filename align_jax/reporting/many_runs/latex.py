"""Benchmark tables as a LaTeX document; what a run's files hold is text, never a command."""

from collections.abc import Iterator, Sequence

from align_jax.reporting.many_runs import words
from align_jax.reporting.many_runs.captions import legend
from align_jax.reporting.many_runs.report import Report

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


def latex(report: Report) -> str:
    """A document of its own with one booktabs table each; the tables can be copied out of it."""
    lines = [
        "% Needs no file beside it. Names beyond Latin letters need LuaLaTeX or XeLaTeX.",
        r"\documentclass{article}",
        r"\usepackage[T1]{fontenc}",
        r"\usepackage[a4paper,landscape,margin=15mm]{geometry}",
        r"\usepackage{booktabs}",
        r"\begin{document}",
    ]
    for benchmark in report.benchmarks:
        lines += ["", f"\\section*{{{escaped(benchmark.title)}}}"]
        before = [warning] if (warning := words.oracle_warning(benchmark)) else []
        after = [*(f"{title}: {text}." for title, text in words.facts(benchmark).items()), *benchmark.notes]
        for table in benchmark.tables:
            header, rows = words.domain_rows(table, escaped, _cell)
            caption = [*before, f"{benchmark.title}.", *table.caption, *legend([table]), *after]
            lines += _table(header, rows, caption)
        for classes in benchmark.class_tables:
            caption = [*before, f"{benchmark.title}. {classes.title}.", *classes.caption]
            lines += _table(*words.class_rows(classes, escaped, _cell), caption)
        settings = benchmark.settings
        if settings.differing:
            caption = [f"{benchmark.title}: settings that differ between rows."]
            lines += _table(*words.setting_rows(settings, escaped), caption)
        lines += ["", f"{{\\footnotesize\\raggedright {escaped(words.shared_settings(settings))}\\par}}", r"\clearpage"]
    return "\n".join([*lines, r"\end{document}", ""])


def _table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: Sequence[str]) -> Iterator[str]:
    """The lines of a table; header and rows are LaTeX, the caption is plain text."""
    yield from ("", r"\begin{table}[htbp]", r"\centering\small")
    yield f"\\caption{{{escaped(' '.join(caption))}}}"
    yield f"\\begin{{tabular}}{{l{'r' * (len(header) - 1)}}}"
    yield from (r"\toprule", " & ".join(header) + r" \\", r"\midrule")
    for i, row in enumerate(rows):
        if len(row) > 1:
            yield " & ".join(row) + r" \\"
            continue
        if i:
            yield r"\midrule"
        yield f"\\multicolumn{{{len(header)}}}{{l}}{{\\emph{{{row[0]}}}}} \\\\"
    yield from (r"\bottomrule", r"\end{tabular}", r"\end{table}")


def escaped(text: str) -> str:
    """Text as LaTeX prints it."""
    return "".join(SIGNS.get(character, character) for character in text)


def _cell(cell: words.PrintedCell) -> str:
    value = f"\\textbf{{{escaped(cell.value)}}}" if cell.best else escaped(cell.value)
    return words.with_note(f"{value} $\\pm$ {escaped(cell.error)}" if cell.error else value, cell)
