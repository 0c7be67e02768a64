"""Every method on emoji_scenes with the same budget: configs/quickstart.py for each row, correlation and seed.

    python -m experiments.emoji_scenes --workdir=runs/emoji_scenes --csv=docs/results/emoji_scenes.csv --jobs=2

This is a sweep: complete runs are not repeated, stopped runs go on, and `launch/report.py` reads the same folder.
Prints the tables of docs/emoji_scenes.md and writes one CSV row per run and test set. `--complete_only` trains nothing
and uses the runs that are complete.
"""

import sys
from pathlib import Path

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

from align_jax.tables.markdown import markdown
from experiments import quickstart_study
from experiments.emoji_scenes.background_table import background_table, gap_table
from experiments.emoji_scenes.plan import DOMAIN, ROWS, cells
from experiments.emoji_scenes.tables import accuracy_table, as_csv, complete_runs, faithfulness_table, gain_table

MAIN = Path(__file__).parents[2] / "launch" / "main.py"


def results(workdir: Path) -> tuple[int, str, str]:
    """How many runs are complete, all their numbers, and the tables."""
    found = complete_runs(workdir, ROWS)
    tables = [
        markdown(table(found, correlation))
        for correlation in ("0.3", "0.7", "0.9")
        for table in (background_table, gap_table, accuracy_table, gain_table, faithfulness_table)
    ]
    return len(found), as_csv(found), "\n\n".join(tables)


def main() -> int:
    """See the head of this file."""
    return quickstart_study.main(
        "emoji_scenes",
        __doc__,
        (sys.executable, str(MAIN)),
        plan=lambda arguments: quickstart_study.study_sweep(arguments, DOMAIN, cells(), faithfulness=24),
        results=results,
    )


if __name__ == "__main__":
    sys.exit(main())
