"""Tables of many runs: python launch/report.py DIR... [--out=DIR] [--metric=accuracy --metric=auc ...]"""

import argparse
import os
import sys
from collections.abc import Sequence
from pathlib import Path

from align_jax.errors import UserError
from align_jax.reporting.benchmark_table import DEFAULT_METRICS, METRICS, make_report
from align_jax.reporting.collect import collect
from align_jax.reporting.table_formats import markdown, write_report


def main(arguments: Sequence[str]) -> int:
    """Writes tables.md, tables.tex, tables.csv and index.html, prints the first, and returns the exit status."""
    parser = argparse.ArgumentParser(description="Collects complete runs into tables.", allow_abbrev=False)
    parser.add_argument("folders", metavar="DIR", nargs="+", type=Path, help="runs, or folders above them")
    parser.add_argument("--out", type=Path, help="where the tables go; DIR/tables of the first DIR by default")
    parser.add_argument("--metric", action="append", choices=METRICS, help=f"default: {', '.join(DEFAULT_METRICS)}")
    options = parser.parse_args(arguments)
    try:
        collection = collect(options.folders)
        report = make_report(collection, tuple(dict.fromkeys(options.metric or DEFAULT_METRICS)))
        if not report.benchmarks:
            found = "; ".join(collection.problems) or "no summary.json lies there"
            raise UserError(f"No complete run under {', '.join(map(str, options.folders))} ({found}).")
        page = write_report(report, options.out or options.folders[0] / "tables")
    except UserError as error:
        print(f"error: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"error: {error}; can --out be written, and is there room?", file=sys.stderr)
        return 2
    try:
        sys.stdout.reconfigure(errors="replace")
        print(markdown(report), flush=True)
    except BrokenPipeError:
        # Whoever reads only the head of it has seen enough; Python would complain once more on its way out.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    measured = {table.metric.key for benchmark in report.benchmarks for table in benchmark.tables}
    for metric in options.metric or ():
        if metric not in measured:
            print(f"No run measured {metric}.", file=sys.stderr)
    print(f"Report: {page}", file=sys.stderr)
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
