"""What other forms of L_egl do, with true masks, on the backgrounds that decide: one run for each row.

    python -m experiments.guidance_forms --workdir=runs/guidance_forms --csv=docs/results/guidance_forms.csv --jobs=2

This is a sweep: complete runs are not repeated, and stopped runs go on. Prints the table of docs/emoji_scenes.md and
writes one CSV row per run and test set. `--complete_only` trains nothing and uses the runs that are complete.
"""

import argparse
import sys
from pathlib import Path

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from align_jax.sweeping.sweep import Sweep
from align_jax.tables.markdown import markdown
from experiments import quickstart_study
from experiments.guidance_forms.method import register
from experiments.guidance_forms.plan import DOMAIN, ROWS, cell
from experiments.guidance_forms.tables import as_csv, complete_runs, table

PROGRAM = (sys.executable, "-m", "experiments.guidance_forms.train")


def plan(arguments: argparse.Namespace) -> Sweep:
    """The sweep, checked. The method must be registered; the table has no faithfulness."""
    return quickstart_study.study_sweep(arguments, DOMAIN, list(map(cell, ROWS)), faithfulness=4)


def results(workdir: Path) -> tuple[int, str, str]:
    """How many runs are complete, all their numbers, and the table."""
    found = complete_runs(workdir)
    return len(found), as_csv(found), markdown(table(found))


def main() -> int:
    """See the head of this file."""
    register()
    return quickstart_study.main("guidance_forms", __doc__, PROGRAM, plan=plan, results=results)


if __name__ == "__main__":
    sys.exit(main())
