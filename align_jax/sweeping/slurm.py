"""A sweep as a Slurm array: one job a cell."""

import shlex
from collections.abc import Sequence
from pathlib import Path

# Slurm refuses array indices of MaxArraySize and above, which is 1001 where nobody changed it.
MOST_JOBS = 1000


def slurm_script(command: Sequence[str], cells: int, folder: Path, name: str) -> str:
    """A script for sbatch whose job i of n runs `command --worker=i/n`.

    Args:
      command: of the sweep, without --worker.
      cells: how many the sweep has; above `MOST_JOBS`, a job takes more than one.
      folder: where the command runs.
      name: of the job: letters, digits and `_.-` only.
    """
    jobs = min(cells, MOST_JOBS)
    return f"""#!/usr/bin/env bash
# {cells} cells in {jobs} jobs. Submit it again when some were stopped or failed: complete cells are skipped, the others
# go on from their last checkpoint.
#SBATCH --job-name={name}
#SBATCH --array=0-{jobs - 1}
#SBATCH --requeue
#SBATCH --open-mode=append
# Two minutes before the time is up, the run is asked to save and end.
#SBATCH --signal=B:TERM@120
# To adapt; one # less puts a line into force.
##SBATCH --partition=gpu
##SBATCH --time=24:00:00
##SBATCH --gpus=1
##SBATCH --cpus-per-task=8
##SBATCH --mem=32G

set -euo pipefail
cd {shlex.quote(str(folder))}
# exec, so that the signal reaches the sweep and not a shell around it.
exec {shlex.join(command)} --worker="${{SLURM_ARRAY_TASK_ID:?submit this with sbatch}}/{jobs}"
"""
