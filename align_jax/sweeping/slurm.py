"""A sweep as a Slurm array, one job for each cell."""

import shlex
from collections.abc import Sequence
from pathlib import Path

# Slurm refuses array indices of MaxArraySize and above; its default is 1001.
MOST_JOBS = 1000


def slurm_script(command: Sequence[str], cells: int, folder: Path, name: str) -> str:
    """A script for sbatch: job i of n runs `command --worker=i/n`.

    Args:
      command: the sweep's command, without --worker.
      cells: the number of cells; above `MOST_JOBS`, a job takes several.
      folder: where the command runs.
      name: the job's name: only letters, digits and `_.-`.
    """
    jobs = min(cells, MOST_JOBS)
    return f"""#!/usr/bin/env bash
# {cells} cells in {jobs} jobs. Submit this again when some were stopped or failed: complete cells are skipped, the
# others resume from their last checkpoint.
#SBATCH --job-name={name}
#SBATCH --array=0-{jobs - 1}
#SBATCH --requeue
#SBATCH --open-mode=append
# Two minutes before the time limit, the run is asked to save and end.
#SBATCH --signal=B:TERM@120
# To adapt; a line takes effect when one # is removed.
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
