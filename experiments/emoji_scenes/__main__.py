"""Every method on emoji_scenes with the same budget: configs/quickstart.py for each row, correlation and seed.

    python -m experiments.emoji_scenes --workdir=runs/emoji_scenes --csv=docs/results/emoji_scenes.csv --jobs=2

This is a sweep: complete runs are not repeated, stopped runs go on, and `launch/report.py` reads the same folder.
Prints the tables of docs/emoji_scenes.md and writes one CSV row per run and test set. `--complete_only` trains nothing
and uses the runs that are complete.
"""

import argparse
import dataclasses
import shlex
import sys
from pathlib import Path

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from align_jax.cli.exit_status import exit_status
from align_jax.cli.sweep import check_cells, parse
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import local_path
from align_jax.sweeping.sweep import complete_sweep
from align_jax.tables.markdown import markdown
from experiments.emoji_scenes.background_table import background_table, gap_table
from experiments.emoji_scenes.plan import DOMAIN, ROWS, cells
from experiments.emoji_scenes.tables import accuracy_table, as_csv, complete_runs, faithfulness_table, gain_table

ROOT = Path(__file__).parents[2]


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--jobs", type=int, default=1, help="the number of runs at a time")
    parser.add_argument("--prepared", default="data", help="the folder of prepared data sets")
    parser.add_argument("--complete_only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    again = shlex.join(["python", "-m", "experiments.emoji_scenes", *sys.argv[1:]])

    def run() -> int:
        csv = local_path(arguments.csv, "--csv")
        sweep = parse(
            [
                "sweep.py",
                f"--config={ROOT / 'configs' / 'quickstart.py'}",
                f"--workdir={arguments.workdir}",
                f"--domains={DOMAIN}",
                f"--jobs={arguments.jobs}",
                f"--config.data.prepared={arguments.prepared}",
                # Validation images have the correlation of training: selected by them, a checkpoint is one that reads
                # backgrounds.
                "--config.selection=last",
                "--config.evaluation.every=600",  # once, at the end
                # Each image costs about a hundred forward passes.
                "--config.evaluation.faithfulness_images=24",
            ]
        )
        sweep = dataclasses.replace(sweep, cells=tuple(cells()))
        check_cells(sweep)
        program = (sys.executable, str(ROOT / "launch" / "main.py"))
        done = arguments.complete_only or complete_sweep(sweep, program, title="emoji scenes", again=again)
        results = complete_runs(sweep.workdir, ROWS)
        write_atomically(csv, as_csv(results).encode())
        print(f"{len(results)} of {len(sweep.cells)} runs\n")
        for correlation in ("0.3", "0.7", "0.9"):
            for table in (background_table, gap_table, accuracy_table, gain_table, faithfulness_table):
                print(markdown(table(results, correlation)), end="\n\n")
        return 0 if done else 1

    return exit_status(
        run,
        on_os_error="can --workdir and --csv be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
    )


if __name__ == "__main__":
    sys.exit(main())
