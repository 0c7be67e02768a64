"""What every format writes: cells in words, the facts of a benchmark, and tables as rows of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY, Metric
from align_jax.reporting.many_runs.cells import Cell
from align_jax.reporting.many_runs.report import Benchmark
from align_jax.reporting.many_runs.settings import Settings
from align_jax.reporting.many_runs.tables import BenchmarkTable, ClassTable


@dataclass(frozen=True)
class PrintedCell:
    """A cell in words: `note` says over how many seeds it is, where that must be said."""

    value: str
    error: str
    note: str
    best: bool


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


def oracle_warning(benchmark: Benchmark) -> str:
    """Said before anything else where checkpoints were selected on the test itself; else empty."""
    if not benchmark.is_oracle:
        return ""
    return f"{names.oracle_warning('every checkpoint here')} No published ones stand beside them."


def facts(benchmark: Benchmark) -> dict[str, str]:
    """What holds for all tables of a benchmark."""
    complete = len(benchmark.runs)
    return {
        "Protocol": names.PROTOCOLS[benchmark.task.protocol],
        "Checkpoint": benchmark.selection,
        "Runs": f"{complete} of {benchmark.planned} planned" if benchmark.planned > complete else str(complete),
        "Seeds": _few(list(map(str, benchmark.seeds))),
        "Classes": f"{len(benchmark.task.class_names)}: {_few(benchmark.task.class_names)}",
        "Settings of all rows": benchmark.settings.main or "none in common",
    }


def heading(table: BenchmarkTable) -> str:
    """A table's title, with the metric's unit and which way is better."""
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    return f"{table.title}{unit} {table.metric.arrow}".rstrip()


def shared_settings(settings: Settings) -> str:
    """The shared settings that `facts` leaves out."""
    others = ", ".join(f"{names.shortened(name)} = {names.shortened(value)}" for name, value in settings.others.items())
    return f"All other settings that the rows share: {others or 'none'}."


def domain_rows(
    table: BenchmarkTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table, long names shortened; a row of one entry is the title of those below it.

    Args:
      table: the table.
      escaped: text as the format prints it, whatever it holds.
      written: a cell in the format.
    """
    several = len(table.columns) > 1
    header = [
        "Method",
        *(escaped(names.shortened(column)) for column in table.columns),
        *(["Average"] if several else []),
    ]
    rows: list[list[str]] = []
    groups = [(group.title, group.rows) for group in table.groups]
    if table.published:
        groups.append(("Published by others", table.published))
    for title, of_group in groups:
        if title:
            rows.append([escaped(names.shortened(title))])
        for row in of_group:
            name = f"{row.name} (published, {row.source})" if row.source else names.shortened(row.name)
            cells = [*row.cells, *([row.average] if several else [])]
            rows.append([escaped(name), *(written(printed(table.metric, c, table.usual_seeds)) for c in cells)])
    return header, rows


def class_rows(
    table: ClassTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """As `domain_rows`."""
    rows: list[list[str]] = []
    for group in table.groups:
        rows.append([escaped(names.shortened(group.title))])
        rows += [
            [escaped(names.shortened(row.name)), *(written(printed(ACCURACY, c)) for c in row.cells)]
            for row in group.rows
        ]
    return ["Class", *(escaped(names.shortened(column)) for column in table.columns)], rows


def setting_rows(settings: Settings, escaped: Callable[[str], str]) -> tuple[list[str], list[list[str]]]:
    """As `domain_rows`, of the settings that differ between the methods."""
    rows = [[name, *values] for name, values in settings.differing.items()]
    header, *body = [
        [escaped(names.shortened(text)) for text in row] for row in [["Setting", *settings.methods], *rows]
    ]
    return header, body


def with_note(text: str, cell: PrintedCell) -> str:
    """A cell's text, and in brackets over how many seeds it is."""
    return f"{text} ({cell.note})" if cell.note else text


def _few(items: Sequence[str]) -> str:
    short = [names.shortened(item) for item in items]
    return ", ".join(short) if len(short) <= 12 else f"{', '.join(short[:10])} … {short[-1]}"
