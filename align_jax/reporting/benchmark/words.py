"""What every format writes: cells in words, the facts of a benchmark, and tables as rows of text."""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

from align_jax.reporting import names
from align_jax.reporting.benchmark.cells import Cell
from align_jax.reporting.benchmark.report import Benchmark
from align_jax.reporting.benchmark.settings import Settings
from align_jax.reporting.benchmark.tables import BenchmarkTable, ClassTable
from align_jax.reporting.names import Metric


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


def heading(table: BenchmarkTable) -> str:
    """A table's title, with the metric's unit and which way is better."""
    unit = f", {table.metric.unit}" if table.metric.unit else ""
    return f"{table.title}{unit} {table.metric.arrow}".rstrip()


def shared_settings(settings: Settings) -> str:
    """The shared settings that `facts` leaves out."""
    others = ", ".join(f"{name} = {value}" for name, value in settings.others.items())
    return f"All other settings that the rows share: {others or 'none'}."


def domain_rows(
    table: BenchmarkTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """The header and the rows of a table; a row of one entry is the title of those below it.

    Args:
      table: the table.
      escaped: text as the format prints it, whatever it holds.
      written: a cell in the format.
    """
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


def class_rows(
    table: ClassTable, escaped: Callable[[str], str], written: Callable[[PrintedCell], str]
) -> tuple[list[str], list[list[str]]]:
    """As `domain_rows`."""
    rows: list[list[str]] = []
    for group in table.groups:
        rows.append([escaped(group.title)])
        rows += [[escaped(row.name), *(written(printed(names.ACCURACY, c)) for c in row.cells)] for row in group.rows]
    return ["Class", *map(escaped, table.columns)], rows


def with_note(text: str, cell: PrintedCell) -> str:
    """A cell's text, and in brackets over how many seeds it is."""
    return f"{text} ({cell.note})" if cell.note else text


def _few(items: Sequence[str]) -> str:
    return ", ".join(items) if len(items) <= 12 else f"{', '.join(items[:10])} … {items[-1]}"
