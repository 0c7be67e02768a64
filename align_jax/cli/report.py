"""`launch/report.py`: collects complete runs into tables, and writes them in four formats."""

import argparse
from collections.abc import Sequence
from pathlib import Path

from align_jax.cli.exit_status import exit_status
from align_jax.errors import UserError
from align_jax.reporting.columns import DEFAULT_METRICS, METRICS
from align_jax.reporting.many_runs.documents import markdown_document, write_report
from align_jax.reporting.many_runs.report import Report, make_report
from align_jax.reporting.output_folder import check_output_folder
from align_jax.runs.collect import collect
from align_jax.runtime.paths import local_path
from align_jax.runtime.terminal import say, show


def main(arguments: Sequence[str]) -> int:
    """Runs `launch/report.py` and returns its exit status: 0, 2 for a user's mistake, 130 when interrupted."""
    parser = argparse.ArgumentParser(
        prog=Path(arguments[0]).name, description="Collects complete runs into tables.", allow_abbrev=False
    )
    parser.add_argument("folders", metavar="DIR", nargs="+", help="runs, or folders above them")
    parser.add_argument("--out", help="where the tables go; DIR/tables of the first DIR by default")
    parser.add_argument("--metric", action="append", choices=METRICS, help=f"default: {', '.join(DEFAULT_METRICS)}")
    options = parser.parse_args(arguments[1:])

    def run() -> None:
        folders = [local_path(folder, "DIR") for folder in options.folders]
        out = folders[0] / "tables" if options.out is None else local_path(options.out, "--out")
        check_output_folder(out, "tables")
        report = _report(folders, tuple(dict.fromkeys(options.metric or DEFAULT_METRICS)))
        page = write_report(report, out)
        show(markdown_document(report))
        measured = {table.metric.key for task in report.tasks for table in task.tables}
        for metric in options.metric or ():
            if metric not in measured:
                say(f"No run measured {metric}.")
        say(f"Report: {page}")

    return exit_status(
        run,
        on_os_error="can --out be written, and is there room?",
        on_interrupt="what was written is whole; the same command begins again.",
    )


def _report(folders: Sequence[Path], metrics: Sequence[str]) -> Report:
    collection = collect(folders)
    report = make_report(collection, metrics)
    if not report.tasks:
        found = "; ".join(collection.problems) or "there is no summary.json"
        raise UserError(f"No complete run under {', '.join(map(str, folders))} ({found}).")
    return report
