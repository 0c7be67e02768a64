"""Benchmark tables as Markdown, LaTeX, CSV and HTML; what a run's files hold is text in each of them, never markup."""

import csv
import io
import pathlib
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace

from align_jax.files import write_atomically
from align_jax.reporting import names
from align_jax.reporting.benchmark_table import Benchmark, BenchmarkTable, Cell, ClassTable, Report, Settings, legend
from align_jax.reporting.names import Metric
from align_jax.reporting.page import TEMPLATES

CSV_COLUMNS = (
    *("dataset", "protocol", "domain_singled_out", "domain_tested", "role", "split", "method", "algorithm", "guidance"),
    *("seed", "selection", "step", "best_step", "examples", "metric", "value", "settings", "run"),
)

_LATEX = {
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


@dataclass(frozen=True)
class PrintedCell:
    """A cell in words: `note` says over how many seeds it is, where that must be said."""

    value: str
    error: str
    note: str
    best: bool


def write_report(report: Report, folder: pathlib.Path) -> pathlib.Path:
    """Writes tables.md, tables.tex, tables.csv and index.html, each whole or not at all.

    Returns:
      The page's path. It is one file that loads nothing.
    """
    write_atomically(folder / "tables.md", markdown(report).encode())
    write_atomically(folder / "tables.tex", latex(report).encode())
    write_atomically(folder / "tables.csv", csv_text(report).encode())
    return write_atomically(folder / "index.html", html(report).encode())


def printed(metric: Metric, cell: Cell, usual_seeds: int = 0) -> PrintedCell:
    """The cell's number in the metric's unit, with its error and, if it is not the usual one, its number of seeds."""
    if cell.blank:
        return PrintedCell("", "", "", False)
    written = metric if cell.digits is None else replace(metric, digits=cell.digits)
    note = ""
    if cell.planned:
        note = f"{cell.seeds}/{cell.planned}"
    elif usual_seeds and cell.seeds not in (0, usual_seeds):
        note = f"n = {cell.seeds}"
    error = metric.text(cell.error) if cell.error is not None else ""
    return PrintedCell(written.text(cell.value), error, note, cell.best)


def markdown(report: Report) -> str:
    """All benchmarks as Markdown, with tables aligned for reading in a terminal."""
    parts = []
    for benchmark in report.benchmarks:
        parts.append(f"## {_md(benchmark.title)}")
        if benchmark.is_oracle:
            parts.append(f"**{_md(oracle_warning(benchmark))}**")
        parts.append("\n".join(f"- {title}: {_md(text)}" for title, text in facts(benchmark).items()))
        parts += [_md(" ".join(sentences)) for sentences in (benchmark.notes, legend(benchmark.tables)) if sentences]
        for table in benchmark.tables:
            parts += [
                f"### {_md(_heading(table))}",
                _markdown_table(*_text_rows(table, _md, _md_cell)),
                _caption(table),
            ]
        for classes in benchmark.class_tables:
            parts += [
                f"### {_md(classes.title)}, %",
                _markdown_table(*_class_rows(classes, _md, _md_cell)),
                _caption(classes),
            ]
        parts += _markdown_settings(benchmark.settings)
    if report.problems:
        parts += ["## Left out", "\n".join(f"- {_md(problem)}" for problem in report.problems)]
    return "\n\n".join(parts) + "\n"


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
        lines += ["", f"\\section*{{{_tex(benchmark.title)}}}"]
        before = [oracle_warning(benchmark)] if benchmark.is_oracle else []
        after = [*(f"{title}: {text}." for title, text in facts(benchmark).items()), *benchmark.notes]
        for table in benchmark.tables:
            header, rows = _text_rows(table, _tex, _tex_cell)
            caption = [*before, f"{benchmark.title}.", *table.caption, *legend([table]), *after]
            lines += _latex_table(header, rows, caption)
        for classes in benchmark.class_tables:
            caption = [*before, f"{benchmark.title}. {classes.title}.", *classes.caption]
            lines += _latex_table(*_class_rows(classes, _tex, _tex_cell), caption)
        settings = benchmark.settings
        if settings.differing:
            rows = [[_tex(name), *map(_tex, values)] for name, values in settings.differing.items()]
            caption = [f"{benchmark.title}: settings that differ between rows."]
            lines += _latex_table(["Setting", *map(_tex, settings.methods)], rows, caption)
        lines += ["", f"{{\\footnotesize\\raggedright {_tex(_all_shared(settings))}\\par}}", r"\clearpage"]
    return "\n".join([*lines, r"\end{document}", ""])


def csv_text(report: Report) -> str:
    """Every number of every run: one row a run, domain, role and metric. Missing runs have no row."""
    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(CSV_COLUMNS)
    for benchmark in report.benchmarks:
        for row in _csv_rows(benchmark):
            writer.writerow([_spreadsheet(field) for field in row])
    return stream.getvalue()


def html(report: Report) -> str:
    """One page that loads nothing."""
    return TEMPLATES.get_template("benchmark.html").render(
        report=report,
        title=page_title(report),
        printed=printed,
        facts=facts,
        legend=legend,
        heading=_heading,
        warning=oracle_warning,
        accuracy=names.ACCURACY,
    )


def page_title(report: Report) -> str:
    datasets = dict.fromkeys(benchmark.title.partition(",")[0] for benchmark in report.benchmarks)
    return f"Benchmark: {', '.join(datasets)}" if datasets else "Benchmark"


def oracle_warning(benchmark: Benchmark) -> str:
    """Said before anything else where checkpoints were selected on the test itself."""
    return (
        "ORACLE SELECTION: every checkpoint here was chosen by its accuracy on the reported test itself, with labels "
        "that nobody has when a model is chosen. These numbers bound what a better rule could reach; they are no "
        "results, and no published ones stand beside them."
    )


def facts(benchmark: Benchmark) -> dict[str, str]:
    """What holds for all tables of a benchmark."""
    complete = len(benchmark.runs)
    return {
        "Protocol": names.PROTOCOLS[benchmark.task.protocol],
        "Checkpoint": benchmark.selection,
        "Runs": f"{complete} of {benchmark.planned} planned" if benchmark.planned > complete else str(complete),
        "Seeds": ", ".join(map(str, benchmark.seeds)),
        "Classes": f"{len(benchmark.task.class_names)}: {_few(benchmark.task.class_names)}",
        "Settings of all rows": benchmark.settings.main or "none in common",
    }


def _few(items: Sequence[str]) -> str:
    return ", ".join(items) if len(items) <= 12 else f"{', '.join(items[:10])} … {items[-1]}"


def _heading(table: BenchmarkTable) -> str:
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    return f"{table.title}{unit} {table.metric.arrow}".rstrip()


def _caption(table: BenchmarkTable | ClassTable) -> str:
    return _md(" ".join(table.caption))


def _all_shared(settings: Settings) -> str:
    others = ", ".join(f"{name} = {value}" for name, value in settings.others.items())
    return f"All other settings that the rows share: {others or 'none'}."


def _text_rows(
    table: BenchmarkTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table; a row of one entry is the title of those below it."""
    several = len(table.columns) > 1
    header = ["Method", *map(escaped, table.columns), *(["Average"] if several else [])]
    rows: list[list[str]] = []
    groups = [(group.title, group.rows) for group in table.groups]
    if table.published:
        groups.append(("Published by others", table.published))
    for title, of_group in groups:
        if title:
            rows.append([escaped(title)])
        for row in of_group:
            name = f"{row.name} (published, {row.source})" if row.source else row.name
            cells = [*row.cells, *([row.average] if several else [])]
            rows.append([escaped(name), *(written(printed(table.metric, c, table.usual_seeds)) for c in cells)])
    return header, rows


def _class_rows(
    table: ClassTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """As `_text_rows`."""
    rows: list[list[str]] = []
    for group in table.groups:
        rows.append([escaped(group.title)])
        rows += [[escaped(row.name), *(written(printed(names.ACCURACY, c)) for c in row.cells)] for row in group.rows]
    return ["Class", *map(escaped, table.columns)], rows


def _markdown_table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    whole = [header, *([f"*{row[0]}*"] + [""] * (len(header) - 1) if len(row) == 1 else row for row in rows)]
    widths = [max(3, *map(len, column)) for column in zip(*whole, strict=True)]
    lines = ["| " + " | ".join([row[0].ljust(widths[0]), *map(str.rjust, row[1:], widths[1:])]) + " |" for row in whole]
    rule = "|".join(["", "-" * (widths[0] + 2), *("-" * (width + 1) + ":" for width in widths[1:]), ""])
    return "\n".join([lines[0], rule, *lines[1:]])


def _markdown_settings(settings: Settings) -> Iterator[str]:
    if settings.differing:
        yield "### Settings that differ between rows"
        rows = [[_md(name), *map(_md, values)] for name, values in settings.differing.items()]
        yield _markdown_table(["Setting", *map(_md, settings.methods)], rows)
    yield _md(_all_shared(settings))


def _md(text: str) -> str:
    """Text as Markdown prints it; an underscore inside a word needs no care."""
    return re.sub(r"([\\`*\[\]<>|&~$])|(?<!\w)_|_(?!\w)", lambda match: f"\\{match[0]}", text)


def _md_cell(cell: PrintedCell) -> str:
    text = f"{cell.value} ± {cell.error}" if cell.error else cell.value
    return _with_note(f"**{text}**" if cell.best else text, cell)


def _tex(text: str) -> str:
    return "".join(_LATEX.get(character, character) for character in text)


def _tex_cell(cell: PrintedCell) -> str:
    value = f"\\textbf{{{_tex(cell.value)}}}" if cell.best else _tex(cell.value)
    return _with_note(f"{value} $\\pm$ {_tex(cell.error)}" if cell.error else value, cell)


def _with_note(text: str, cell: PrintedCell) -> str:
    return f"{text} ({cell.note})" if cell.note else text


def _latex_table(header: Sequence[str], rows: Sequence[Sequence[str]], caption: Sequence[str]) -> Iterator[str]:
    """The lines of a table; header and rows are LaTeX, the caption is plain text."""
    yield from ("", r"\begin{table}[htbp]", r"\centering\small")
    yield f"\\caption{{{_tex(' '.join(caption))}}}"
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


def _csv_rows(benchmark: Benchmark) -> Iterator[list[object]]:
    for run in benchmark.runs:
        differing = [name for name in benchmark.settings.differing if name in run.config]
        settings = "; ".join(f"{name} = {run.config[name]}" for name in differing)
        who = [benchmark.rows[run.path], run.algorithm, run.guidance, run.seed, run.selection, run.step, run.best_step]
        numbers: list[tuple[list[object], str, float]] = []
        if run.validation_accuracy is not None:
            numbers.append((["", "validation", "validation", None], "validation_accuracy", run.validation_accuracy))
        for result in run.results:
            test: list[object] = [result.domain, result.role, result.split, result.examples]
            numbers += [(test, metric, value) for metric, value in result.values.items()]
            numbers += [(test, f"per_class_accuracy/{name}", v) for name, v in result.per_class_accuracy.items()]
        for (*tested, examples), metric, value in numbers:
            yield [run.dataset, run.protocol, run.domain, *tested, *who, examples, metric, value, settings, run.path]


def _spreadsheet(value: object) -> object:
    """Text that a spreadsheet would take for a formula is given to it as text."""
    if not isinstance(value, str | pathlib.Path):
        return value
    return f"'{value}" if str(value).startswith(("=", "+", "-", "@")) else str(value)
