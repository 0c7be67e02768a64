"""A report as Markdown, as LaTeX and as a page; its four files, to read, to print, to look at and to compute with."""

import pathlib
from collections.abc import Sequence
from dataclasses import replace

from align_jax.reporting import names
from align_jax.reporting.many_runs.every_number import every_number
from align_jax.reporting.many_runs.legend import legend
from align_jax.reporting.many_runs.report import Report, TaskReport
from align_jax.reporting.page import TEMPLATES
from align_jax.runtime.files import write_atomically
from align_jax.tables import latex, markdown
from align_jax.tables.table import shortened


def write_report(report: Report, folder: pathlib.Path) -> pathlib.Path:
    """Writes tables.md, tables.tex, tables.csv and index.html, each whole or not at all.

    Returns:
      The page's path. It is one file that loads nothing.
    """
    write_atomically(folder / "tables.md", markdown_document(report).encode())
    write_atomically(folder / "tables.tex", latex_document(report).encode())
    write_atomically(folder / "tables.csv", every_number(report).encode())
    return write_atomically(folder / "index.html", html_document(report).encode())


def markdown_document(report: Report) -> str:
    """All tables as Markdown, aligned for reading in a terminal."""
    parts = []
    for task in report.tasks:
        parts.append(f"## {markdown.escaped(task.title)}")
        if warning := oracle_warning(task):
            parts.append(f"**{markdown.escaped(warning)}**")
        parts.append("\n".join(f"- {title}: {markdown.escaped(text)}" for title, text in facts(task).items()))
        for sentences in (task.notes, legend(task.tables)):
            parts += [markdown.escaped(" ".join(sentences))] if sentences else []
        settings = [task.settings.differing_table] if task.settings.differing else []
        tables = (*(by_domain.table for by_domain in task.tables), *task.class_tables, *settings)
        parts += map(markdown.markdown, tables)
        parts.append(markdown.escaped(task.settings.others))
    if report.problems:
        parts += ["## Left out", "\n".join(f"- {markdown.escaped(problem)}" for problem in report.problems)]
    return "\n\n".join(parts) + "\n"


def latex_document(report: Report) -> str:
    """A document of its own with one booktabs table each; the tables can be copied out of it."""
    parts = [
        "% Needs no file beside it. Names beyond Latin letters need LuaLaTeX or XeLaTeX.\n"
        "\\documentclass{article}\n"
        "\\usepackage[T1]{fontenc}\n"
        "\\usepackage[a4paper,landscape,margin=15mm]{geometry}\n"
        "\\usepackage{booktabs}\n"
        "\\begin{document}"
    ]
    for task in report.tasks:
        parts.append(f"\\section*{{{latex.escaped(task.title)}}}")
        before = [warning] if (warning := oracle_warning(task)) else []
        after = [*(f"{title}: {text}." for title, text in facts(task).items()), *task.notes]
        captioned = [
            (by_domain.table, [f"{task.title}.", *by_domain.table.caption, *legend([by_domain]), *after])
            for by_domain in task.tables
        ]
        captioned += [
            (by_class, [f"{task.title}. {by_class.title.removesuffix(', %')}.", *by_class.caption])
            for by_class in task.class_tables
        ]
        parts += [latex.latex(replace(table, caption=(*before, *caption))) for table, caption in captioned]
        if task.settings.differing:
            caption = f"{task.title}: settings that differ between rows."
            parts.append(latex.latex(replace(task.settings.differing_table, caption=(caption,))))
        others = latex.escaped(task.settings.others)
        parts.append(f"{{\\footnotesize\\raggedright {others}\\par}}\n\\clearpage")
    return "\n\n".join(parts) + "\n\\end{document}\n"


def html_document(report: Report) -> str:
    """One page that loads nothing."""
    datasets = dict.fromkeys(task.title.partition(",")[0] for task in report.tasks)
    return TEMPLATES.get_template("many_runs.html").render(
        title=f"Benchmark: {', '.join(datasets)}" if datasets else "Benchmark",
        report=report,
        facts=facts,
        legend=legend,
        warning=oracle_warning,
    )


def oracle_warning(task: TaskReport) -> str:
    """A warning before all numbers if the checkpoints were selected on the test itself; else empty."""
    if task.task.selection != "oracle":
        return ""
    return f"{names.oracle_warning('every checkpoint here')} No published ones stand beside them."


def facts(task: TaskReport) -> dict[str, str]:
    """What holds for all tables of a task."""
    complete = len(task.runs)
    classes = task.task.class_names
    return {
        "Protocol": names.PROTOCOLS[task.task.protocol],
        "Checkpoint": names.selection_meaning(task.task.selection),
        "Runs": f"{complete} of {task.planned} planned" if task.planned > complete else str(complete),
        "Seeds": _few([str(seed) for seed in sorted({run.seed for run in task.runs})]),
        "Classes": f"{len(classes)}: {_few(classes)}",
        "Settings of all rows": task.settings.main or "none in common",
    }


def _few(items: Sequence[str]) -> str:
    short = [shortened(item) for item in items]
    return ", ".join(short) if len(short) <= 12 else f"{', '.join(short[:10])} … {short[-1]}"
