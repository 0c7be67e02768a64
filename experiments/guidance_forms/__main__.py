"""What other forms of L_egl do, with true masks, on the backgrounds that decide: one run for each row.

    python -m experiments.guidance_forms --workdir=runs/guidance_forms --csv=docs/results/guidance_forms.csv --jobs=2

This is a sweep: complete runs are not repeated, and stopped runs go on. Prints the table of docs/emoji_scenes.md and
writes one CSV row per run and test set. `--complete_only` trains nothing and uses the runs that are complete.
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
from align_jax.sweeping.sweep import Sweep, complete_sweep
from align_jax.tables.markdown import markdown
from experiments.guidance_forms.method import register
from experiments.guidance_forms.plan import DOMAIN, ROWS, cell
from experiments.guidance_forms.tables import as_csv, complete_runs, table

ROOT = Path(__file__).parents[2]
PROGRAM = (sys.executable, "-m", "experiments.guidance_forms.train")


def plan(workdir: str, jobs: int, prepared: str) -> Sweep:
    """The sweep, checked. The method must be registered."""
    sweep = parse(
        [
            "sweep.py",
            f"--config={ROOT / 'configs' / 'quickstart.py'}",
            f"--workdir={workdir}",
            f"--domains={DOMAIN}",
            f"--jobs={jobs}",
            f"--config.data.prepared={prepared}",
            # The last step is reported: validation images have the training correlation, and reward it.
            "--config.selection=last",
            "--config.evaluation.every=600",
            # Each image costs about a hundred forward passes, and the table has no faithfulness.
            "--config.evaluation.faithfulness_images=4",
        ]
    )
    sweep = dataclasses.replace(sweep, cells=tuple(map(cell, ROWS)))
    check_cells(sweep)
    return sweep


def main() -> int:
    """See the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--jobs", type=int, default=1, help="the number of runs at a time")
    parser.add_argument("--prepared", default="data", help="the folder of prepared data sets")
    parser.add_argument("--complete_only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    again = shlex.join(["python", "-m", "experiments.guidance_forms", *sys.argv[1:]])

    def run() -> int:
        register()
        csv = local_path(arguments.csv, "--csv")
        sweep = plan(arguments.workdir, arguments.jobs, arguments.prepared)
        done = arguments.complete_only or complete_sweep(sweep, PROGRAM, title="guidance forms", again=again)
        results = complete_runs(sweep.workdir)
        write_atomically(csv, as_csv(results).encode())
        print(f"{len(results)} of {len(sweep.cells)} runs\n\n{markdown(table(results))}")
        return 0 if done else 1

    return exit_status(
        run,
        on_os_error="can --workdir and --csv be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
    )


if __name__ == "__main__":
    sys.exit(main())
