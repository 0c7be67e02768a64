"""What SkyPilot itself says of launch/sky/: `make sky` runs this, in an environment that has SkyPilot and no JAX.

It needs neither credentials nor a network, so the names of accelerators are not compared with a cloud's list. The
file's name keeps it out of `make test`, where it could only be skipped.
"""

import os
import re
import shlex
import tempfile
from pathlib import Path

# SkyPilot makes its folder when it is imported, and would report how it is used.
os.environ["HOME"] = tempfile.mkdtemp()
os.environ["SKYPILOT_DISABLE_USAGE_COLLECTION"] = "1"

import click
import pytest
import sky
import yaml
from sky.client.cli import command

ROOT = Path(__file__).parents[2]
TASKS = sorted((ROOT / "launch/sky").glob("*.yaml"))
GIVEN = {"BUCKET": "gs://my-bucket", "WORKER": "0/4"}
# Every command line of SkyPilot that a task's head or a page shows.
PAGES = [*TASKS, ROOT / "docs/launching.md", ROOT / "launch/tpu/README.md"]
SHOWN = re.compile(r"(?:^[# ]*|`)(sky (?:\\\n|[^\n`#])+)", flags=re.MULTILINE)


def commands(page: Path) -> list[list[str]]:
    text = re.sub(r"\\\n[# ]*", " ", page.read_text()).replace("`sky gpus list\n", "`sky gpus list ")
    return [shlex.split(line)[1:] for line in SHOWN.findall(text)]


def task(path: Path) -> sky.Task:
    config = yaml.safe_load(path.read_text())
    missing = [(name, GIVEN[name]) for name, value in config["envs"].items() if value is None]
    return sky.Task.from_yaml_config(config, env_overrides=missing)


@pytest.fixture(autouse=True)
def _in_the_checkout(monkeypatch):
    monkeypatch.chdir(ROOT)


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_skypilot_parses_the_task(path):
    parsed = task(path)
    (folder,) = parsed.storage_mounts
    assert folder == "/bucket"
    assert parsed.storage_mounts[folder].mode.value == "MOUNT"
    assert Path(parsed.workdir).resolve() == ROOT
    assert all(resources.cloud.is_same_cloud(sky.GCP()) for resources in parsed.resources)


def test_what_each_task_asks_for():
    tasks = {path.stem: task(path) for path in TASKS}
    (tpu,) = tasks["tpu_slice"].resources
    assert tpu.accelerators == {"tpu-v5litepod-16": 1}
    assert tasks["gpu_nodes"].num_nodes == 2
    assert {count for each in tasks["gpu_nodes"].resources for count in each.accelerators.values()} == {8}
    for name in ("spot", "sweep"):
        assert all(each.use_spot and each.job_recovery for each in tasks[name].resources)


@pytest.mark.parametrize("path", TASKS, ids=lambda path: path.stem)
def test_a_task_without_its_bucket_is_refused(path):
    with pytest.raises(ValueError, match=r"BUCKET.* is None"):
        sky.Task.from_yaml(str(path))


def test_a_field_that_skypilot_does_not_have_is_refused():
    config = yaml.safe_load(TASKS[0].read_text()) | {"num_node": 2}
    with pytest.raises(ValueError, match="num_node"):
        sky.Task.from_yaml_config(config, env_overrides=list(GIVEN.items()))


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_skypilot_has_the_commands_and_options_that_are_shown(page):
    shown = commands(page)
    assert shown
    for words in shown:
        parse(words)


def test_a_wrong_option_is_refused():
    with pytest.raises(click.NoSuchOption):
        parse(["launch", "--clustr=x", "launch/sky/spot.yaml"])


def parse(words: list[str]) -> None:
    """Reads a command line as `sky` does, and carries out nothing."""
    at, words = command.cli, list(words)
    while isinstance(at, click.Group):
        name = words.pop(0)
        at = at.get_command(click.Context(at), name)
        assert at is not None, name
    context = at.make_context("sky", words)
    for given in context.params.get("entrypoint") or ():
        assert (ROOT / given).is_file(), given
