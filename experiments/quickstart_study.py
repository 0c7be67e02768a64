"""Studies of many runs of configs/quickstart.py: their flags, their sweep, and how their commands end."""

import argparse
import dataclasses
import shlex
import sys
from collections.abc import Callable, Sequence
from pathlib import Path

from align_jax.cli.exit_status import exit_status
from align_jax.cli.sweep import check_cells, parse
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import local_path
from align_jax.sweeping.cells import SweepCell
from align_jax.sweeping.sweep import Sweep, complete_sweep

QUICKSTART = Path(__file__).parents[1] / "configs" / "quickstart.py"


def study_sweep(arguments: argparse.Namespace, domain: str, cells: Sequence[SweepCell], faithfulness: int) -> Sweep:
    """The sweep of these runs, checked.

    Args:
      arguments: `workdir`, `jobs` and `prepared`.
      domain: the vendor that is held out.
      cells: the runs.
      faithfulness: on how many images a test it is measured; each costs about a hundred forward passes.
    """
    flags = [
        "sweep.py",
        f"--config={QUICKSTART}",
        f"--workdir={arguments.workdir}",
        f"--domains={domain}",
        f"--jobs={arguments.jobs}",
        f"--config.data.prepared={arguments.prepared}",
        # Validation images have the correlation of training: selected by them, a checkpoint is one that reads
        # backgrounds. So the last step is reported, and evaluated once.
        "--config.selection=last",
        "--config.evaluation.every=600",
        f"--config.explain.images={faithfulness}",
    ]
    sweep = dataclasses.replace(parse(flags), cells=tuple(cells))
    check_cells(sweep)
    return sweep


def main(
    module: str,
    description: str | None,
    program: Sequence[str],
    *,
    plan: Callable[[argparse.Namespace], Sweep],
    results: Callable[[Path], tuple[int, str, str]],
) -> int:
    """Carries out a study that `python -m experiments.NAME` starts: trains what is not complete, and reports.

    Args:
      module: NAME.
      description: of the command.
      program: the command that trains a cell.
      plan: from the arguments to the sweep.
      results: from the folder of the runs to how many are complete, the CSV's text, and what to print.

    Returns:
      The exit status.
    """
    parser = argparse.ArgumentParser(description=description, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--workdir", required=True)
    parser.add_argument("--csv", required=True)
    parser.add_argument("--jobs", type=int, default=1, help="the number of runs at a time")
    parser.add_argument("--prepared", default="data", help="the folder of prepared data sets")
    parser.add_argument("--complete_only", action="store_true", help="train nothing")
    arguments = parser.parse_args()
    again = shlex.join(["python", "-m", f"experiments.{module}", *sys.argv[1:]])

    def run() -> int:
        csv = local_path(arguments.csv, "--csv")
        sweep = plan(arguments)
        title = module.replace("_", " ")
        done = arguments.complete_only or complete_sweep(sweep, program, title=title, again=again)
        complete, text, printed = results(sweep.workdir)
        write_atomically(csv, text.encode())
        print(f"{complete} of {len(sweep.cells)} runs\n\n{printed}")
        return 0 if done else 1

    return exit_status(
        run,
        on_os_error="can --workdir and --csv be written, and is there room?",
        on_interrupt="what was saved is whole, and the same command goes on from there.",
    )
