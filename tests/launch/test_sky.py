"""The SkyPilot tasks give commands that the project takes. `make sky` asks SkyPilot's own parser about the rest."""

import re
from pathlib import Path

import pytest
import yaml

from tests.launch.rehearsal import ROOT, accepted, checkout, rehearse, shellcheck

TASKS = sorted((ROOT / "launch/sky").glob("*.yaml"))
KEYS = {"name", "workdir", "num_nodes", "resources", "envs", "file_mounts", "setup", "run"}
GIVEN = {"BUCKET": "gs://my-bucket", "WORKER": "0/4"}


def read(name):
    return yaml.safe_load((ROOT / "launch/sky" / f"{name}.yaml").read_text())


def run(task, folder, rank=0, **environment):
    """What the task's two scripts do on the node with this rank."""
    nodes = task.get("num_nodes", 1)
    addresses = "\n".join(f"10.0.0.{number + 2}" for number in range(nodes))
    of_sky = {"SKYPILOT_NODE_IPS": addresses, "SKYPILOT_NUM_NODES": str(nodes), "SKYPILOT_NODE_RANK": str(rank)}
    given = {name: GIVEN[name] if value is None else value for name, value in task["envs"].items()}
    done = rehearse(task["setup"] + task["run"], folder, given | of_sky | environment)
    assert done.status == 0, done.output
    return done


def test_the_four_tasks():
    assert [path.stem for path in TASKS] == ["gpu_nodes", "spot", "sweep", "tpu_slice"]
    assert read("spot")["resources"]["use_spot"] is True
    assert read("gpu_nodes")["num_nodes"] == 2


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_says_what_must_be_given_and_keeps_the_run_in_the_bucket(path, tmp_path):
    task = yaml.safe_load(path.read_text())
    assert set(task) <= KEYS
    needed = {name for name, value in task["envs"].items() if value is None}
    examples = re.findall(r"^# +`?(sky (?:jobs )?launch(?:.*\\\n)*.*)", path.read_text(), flags=re.MULTILINE)
    assert examples
    for example in examples:
        assert set(re.findall(r"--env (\w+)=", example)) == needed
        assert f"launch/sky/{path.name}" in example
    for script in ("setup", "run"):
        # The variables of `envs` and of SkyPilot are set outside of the text.
        assert re.sub(r".*SC2154.*", "", shellcheck("#!/usr/bin/env bash\n" + task[script])) == ""
    ((folder, mount),) = task["file_mounts"].items()
    assert mount == {"source": "${BUCKET}", "mode": "MOUNT"}
    used = set(re.findall(r"\$\{?([A-Z_]+)", task["run"] + mount["source"])) - {"HOME"}
    assert used <= {*task["envs"], "SKYPILOT_NODE_IPS", "SKYPILOT_NUM_NODES", "SKYPILOT_NODE_RANK"}
    assert set(task["envs"]) <= used, "a variable that nothing reads"
    (command,) = run(task, checkout(tmp_path)).commands()
    (workdir,) = [word for word in command if word.startswith("--workdir=")]
    assert workdir.startswith(f"--workdir={folder}/")
    accepted(command)


@pytest.mark.parametrize(("name", "jax"), [("tpu_slice", "tpu"), ("gpu_nodes", "cuda13"), ("spot", "cuda13")])
def test_setup_installs_the_accelerators_jax(name, jax, tmp_path):
    ((target, _, given),) = run(read(name), checkout(tmp_path)).of("make")
    assert (target, given) == (".venv/installed", f"JAX=jax[{jax}]")


def test_every_node_joins_the_first_with_its_own_number(tmp_path):
    task = read("gpu_nodes") | {"num_nodes": 3}
    checkout(tmp_path)
    commands = [run(task, tmp_path, rank).commands()[0] for rank in range(3)]
    assert [accepted(command).joined for command in commands] == [("10.0.0.2:8476", 3, rank) for rank in range(3)]


def test_who_is_alone_and_who_prepares_on_each_host(tmp_path):
    checkout(tmp_path)
    found = {name: accepted(run(read(name), tmp_path).commands()[0]) for name in ("tpu_slice", "gpu_nodes", "spot")}
    assert found["tpu_slice"].joined == (None, None, None)
    assert found["tpu_slice"].prepare_on_each_host
    assert found["gpu_nodes"].prepare_on_each_host
    assert found["spot"].joined is None
    assert found["spot"].workdir == Path("/bucket/spot")


def test_a_run_of_several_processes_is_recovered_when_one_is_lost():
    from align_jax.runtime.joining import LOST

    for name in ("tpu_slice", "gpu_nodes"):
        assert read(name)["resources"]["job_recovery"] == {"recover_on_exit_codes": [LOST]}


def test_a_failed_installation_does_not_go_on_to_the_run(tmp_path):
    checkout(tmp_path)
    done = rehearse("make() { return 1; }\nexport -f make\n" + read("spot")["setup"] + read("spot")["run"], tmp_path)
    assert done.status != 0
    assert done.commands() == []


def test_a_wrong_flag_in_a_task_is_found(tmp_path):
    task = read("spot")
    task["run"] = task["run"].replace("--workdir", "--wrkdir")
    (command,) = run(task, checkout(tmp_path)).commands()
    with pytest.raises(AssertionError):
        accepted(command)


def test_the_parsers_version_is_what_the_tasks_are_written_for():
    """`make sky` has an environment of its own: SkyPilot is no dependency of anything else."""
    assert re.search(r"^skypilot==[\d.]+$", (ROOT / "requirements-sky.txt").read_text(), flags=re.MULTILINE)
    for name in ("requirements.txt", "requirements-dev.txt", "requirements-docs.txt", "pyproject.toml"):
        assert "skypilot" not in (ROOT / name).read_text()
