"""Benchmark tables as Markdown; what a run's files hold is text, never markup."""

import re
from collections.abc import Iterator, Sequence

from align_jax.reporting.many_runs import words
from align_jax.reporting.many_runs.captions import legend
from align_jax.reporting.many_runs.report import Report
from align_jax.reporting.many_runs.settings import Settings
from align_jax.reporting.many_runs.tables import BenchmarkTable, ClassTable


def markdown(report: Report) -> str:
    """All benchmarks as Markdown, with tables aligned for reading in a terminal."""
    parts = []
    for benchmark in report.benchmarks:
        parts.append(f"## {escaped(benchmark.title)}")
        if warning := words.oracle_warning(benchmark):
            parts.append(f"**{escaped(warning)}**")
        parts.append("\n".join(f"- {title}: {escaped(text)}" for title, text in words.facts(benchmark).items()))
        for sentences in (benchmark.notes, legend(benchmark.tables)):
            parts += [escaped(" ".join(sentences))] if sentences else []
        for table in benchmark.tables:
            parts += [
                f"### {escaped(words.heading(table))}",
                _table(*words.domain_rows(table, escaped, _cell)),
                _caption(table),
            ]
        for classes in benchmark.class_tables:
            parts += [
                f"### {escaped(classes.title)}, %",
                _table(*words.class_rows(classes, escaped, _cell)),
                _caption(classes),
            ]
        parts += _settings(benchmark.settings)
    if report.problems:
        parts += ["## Left out", "\n".join(f"- {escaped(problem)}" for problem in report.problems)]
    return "\n\n".join(parts) + "\n"


def _caption(table: BenchmarkTable | ClassTable) -> str:
    return escaped(" ".join(table.caption))


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    whole = [header, *([f"*{row[0]}*"] + [""] * (len(header) - 1) if len(row) == 1 else row for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*whole, strict=True)]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in whole]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _settings(settings: Settings) -> Iterator[str]:
    if settings.differing:
        yield "### Settings that differ between rows"
        yield _table(*words.setting_rows(settings, escaped))
    yield escaped(words.shared_settings(settings))


def escaped(text: str) -> str:
    """Text as Markdown prints it; an underscore inside a word needs no care."""
    return re.sub(r"([\\`*\[\]<>|&~$])|(?<!\w)_|_(?!\w)", lambda match: f"\\{match[0]}", text)


def _cell(cell: words.PrintedCell) -> str:
    text = f"{cell.value} ± {cell.error}" if cell.error else cell.value
    return words.with_note(f"**{text}**" if cell.best else text, cell)
