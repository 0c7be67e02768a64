"""The Slurm launchers give commands that the project takes, with options that Slurm has. No Slurm runs here."""

import os
import re
import shlex
import subprocess
import sys

import pytest

from align_jax.cli import sweep
from align_jax.sweeping.slurm import slurm_script
from tests.launch.rehearsal import ROOT, accepted, checkout, rehearse, shellcheck

NODES = ROOT / "launch/slurm/nodes.sbatch"
# Of sbatch and srun, as their manual pages have them: what the launchers and a sweep's script use, or leave to adapt.
OPTIONS = {
    "array", "cpus-per-task", "gpu-bind", "gpus", "gpus-per-node", "job-name", "kill-on-bad-exit", "mem", "nodes",
    "ntasks-per-node", "open-mode", "output", "partition", "requeue", "signal", "time",
}  # fmt: skip
JOB = {
    "SLURM_JOB_ID": "41", "SLURM_STEP_NODELIST": "node[01-02]", "SLURM_NTASKS": "2", "SLURM_PROCID": "1",
    "SLURM_LOCALID": "0", "SLURM_CPUS_PER_TASK": "8",
}  # fmt: skip


def directives(text):
    """The options of a script's #SBATCH lines; Slurm reads none behind the first command."""
    lines = text.splitlines()
    first = next(number for number, line in enumerate(lines) if line.strip() and not line.startswith("#"))
    assert not [line for line in lines[first:] if line.startswith("#SBATCH")]
    words = [line.removeprefix("#SBATCH --").partition("=")[::2] for line in lines if line.startswith("#SBATCH")]
    return dict(words)


def nodes(folder, *arguments, **environment):
    given = JOB | {"SLURM_SUBMIT_DIR": str(folder)} | environment
    return rehearse(NODES.read_text(), folder, given, arguments)


def test_one_run_over_several_nodes(tmp_path):
    done = nodes(checkout(tmp_path), "--config=configs/quickstart.py", "--workdir=runs/two nodes")
    assert done.status == 0, done.output
    (command,) = done.commands()
    assert "--workdir=runs/two nodes" in command
    found = accepted(command)
    assert found.joined == (None, None, None)  # JAX reads them from Slurm
    assert not found.prepare_on_each_host
    ((*options, _program, _script),) = [call[: call.index("launch/main.py") + 1] for call in done.of("srun")]
    assert {option.removeprefix("--").partition("=")[0] for option in options} <= OPTIONS
    assert {"--kill-on-bad-exit=1", "--gpu-bind=none"} <= set(options)


def test_each_process_has_a_gpu():
    """JAX gives process i of a node its GPU i."""
    given = directives(NODES.read_text())
    assert given.keys() <= OPTIONS
    assert given["ntasks-per-node"] == given["gpus-per-node"]
    assert int(given["nodes"]) > 1
    # Without B: the signal goes to the processes, and not to the shell around them.
    assert given["signal"] == "TERM@120"
    assert "requeue" in given


def test_jax_reads_the_job_that_slurm_describes(monkeypatch):
    from jax._src.clusters import SlurmCluster

    for name, value in JOB.items():
        monkeypatch.setenv(name, value)
    assert SlurmCluster.is_env_present()
    assert SlurmCluster.get_coordinator_address(1, "8476") == "node01:8476"
    assert (SlurmCluster.get_process_count(), SlurmCluster.get_process_id()) == (2, 1)
    assert SlurmCluster.get_local_process_id() == 0


@pytest.mark.parametrize(("without", "says"), [("SLURM_JOB_ID", "sbatch"), ("SLURM_CPUS_PER_TASK", "cpus-per-task")])
def test_outside_of_a_job_it_says_what_to_do(without, says, tmp_path):
    done = nodes(checkout(tmp_path), "--config=configs/quickstart.py", **{without: ""})
    assert done.status != 0
    assert says in done.output
    assert done.commands() == []


def test_a_sweep_as_an_array(tmp_path):
    """launch/sweep.py really writes it: a stand-in takes the place of sbatch alone."""
    command = (
        "launch/slurm/sweep.sh runs/mine --config=configs/quickstart.py --methods=align,erm --seeds=0,1,2 "
        "'--vary=masker.widths=(4,8),(8,)'"
    )
    done = rehearse(command, checkout(tmp_path, python=sys.executable))
    assert done.status == 0, done.output
    ((*options, script),) = done.of("sbatch")
    assert script == "runs/mine.sbatch"
    assert {option.removeprefix("--").partition("=")[0] for option in options} <= OPTIONS
    text = (tmp_path / script).read_text()
    assert shellcheck(text) == ""
    assert directives(text)["array"] == "0-11"
    assert directives(text).keys() <= OPTIONS
    # A function in the place of exec shows what one job of the array would run.
    shown = subprocess.run(
        ["bash", "-c", f"exec() {{ printf '%s\\0' \"$@\"; }}; source {shlex.quote(str(tmp_path / script))}"],
        env=os.environ | {"SLURM_ARRAY_TASK_ID": "7"}, capture_output=True, text=True, check=True,
    )  # fmt: skip
    _, program, *arguments = shown.stdout.split("\0")[:-1]
    planned = sweep.parse([program, *arguments])
    assert planned.worker == (7, 12)
    assert len(planned.cells) == 12


def test_a_sweep_that_cannot_work_is_not_submitted(tmp_path):
    done = rehearse("launch/slurm/sweep.sh runs/mine --config=configs/quickstart.py --methods=alighn",
                    checkout(tmp_path, python=sys.executable))  # fmt: skip
    assert done.status == 2
    assert "alighn" in done.output
    assert done.of("sbatch") == []


def test_the_scripts_say_how_they_are_used():
    """The example in each script's head is one that the project takes."""
    for script, program in (("nodes.sbatch", "main"), ("sweep.sh", "sweep")):
        text = (ROOT / "launch/slurm" / script).read_text()
        (example,) = re.findall(rf"^#   (?:sbatch )?launch/slurm/{script} ((?:.*\\\n)*.*)", text, flags=re.MULTILINE)
        words = shlex.split(example.replace("\\\n#", ""))
        if program == "sweep":
            words[0] = f"--workdir={words[0]}"
        accepted([f"launch/{program}.py", *words])


def test_what_is_left_to_adapt_in_a_sweeps_script_is_slurms():
    text = slurm_script(["python"], 3, ROOT, "x").replace("##SBATCH", "#SBATCH")
    assert directives(text).keys() <= OPTIONS
