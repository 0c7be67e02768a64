#!/usr/bin/env bash
# A sweep as an array: one job, on one GPU, for each cell. Edit the lines below, and run it on a login node:
#   launch/slurm/sweep.sh runs/vlcs --config=configs/vlcs.py:leave_one_out --config.data.root=PATH \
#     --methods=align,erm --domains=Caltech101,LabelMe,SUN09,VOC2007 --seeds=0,1,2
# launch/sweep.py checks the whole sweep, and writes the array's script beside its folder. The same command, given
# again, submits what is left: complete cells are skipped, the others resume.
set -euo pipefail
workdir=${1:?"write launch/slurm/sweep.sh FOLDER --config=... and what launch/sweep.py takes"}
shift
cd "$(dirname "$0")/../.."

.venv/bin/python launch/sweep.py --workdir="$workdir" --slurm="$workdir.sbatch" "$@"
# Of an option that stands both here and in the script, this one counts.
sbatch --gpus=1 --cpus-per-task=8 --mem=32G --time=24:00:00 "$workdir.sbatch"
