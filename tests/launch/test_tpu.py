"""The pages' commands: bash expands them, stand-ins take the place of the cloud, and the project takes its flags."""

import re

import pytest

from tests.launch.rehearsal import ROOT, accepted, checkout, rehearse, shell_blocks, shellcheck

PAGES = {"tpu": ROOT / "launch/tpu/README.md", "launching": ROOT / "docs/launching.md"}
NAMES = {"ZONE": "us-west4-a", "BUCKET": "my-bucket", "TPU": "align-tpu"}


# The run on a host goes on behind the connection.
WAIT = '\nuntil grep -q launch/ "$REHEARSAL_RECORD"; do sleep 0.1; done\n'


@pytest.fixture(scope="module", params=PAGES)
def page(request, tmp_path_factory):
    """A page, and what all its commands, one after the other, call."""
    folder = tmp_path_factory.mktemp(request.param)
    checkout(folder)
    # A worker has the checkout in its home folder.
    (folder / "align-jax").symlink_to(folder)
    (folder / "align.log").touch()
    blocks = shell_blocks(PAGES[request.param])
    done = rehearse("set -e\ntar() { :; }; tail() { :; }; pkill() { :; }; cp() { :; }\n"
                    "export -f tar tail pkill cp\n" + "\n".join(blocks) + WAIT, folder, NAMES)  # fmt: skip
    return blocks, done


def test_every_command_works(page):
    blocks, done = page
    assert len(blocks) >= 3
    assert done.status == 0, done.output
    assert "No such file" not in done.output


def test_shellcheck_accepts_them(page):
    blocks, _ = page
    # SC2016: what stands between single quotes is expanded on the hosts. SC2164: a reader sees whether cd fails.
    allowed = re.compile(r"SC2016|SC2154|SC2164")
    for block in blocks:
        found = re.findall(r"SC\d+", shellcheck("#!/usr/bin/env bash\n" + block))
        assert not [code for code in found if not allowed.match(code)], block


def test_the_project_takes_its_commands(page):
    _, done = page
    assert done.commands()
    for command in done.commands():
        accepted(command)


def test_on_a_slice_every_host_joins_and_the_run_is_in_the_bucket(tmp_path):
    checkout(tmp_path)
    (tmp_path / "align-jax").symlink_to(tmp_path)
    (block,) = [block for block in shell_blocks(PAGES["tpu"]) if "--distributed=auto" in block]
    done = rehearse(block + WAIT, tmp_path, NAMES)
    (command,) = done.commands()
    found = accepted(command)
    assert found.joined == (None, None, None)
    assert found.prepare_on_each_host
    assert found.workdir.is_relative_to(tmp_path / "bucket")


def test_what_the_page_quotes_is_what_the_project_says():
    """A message that someone searches for must be in the code."""
    library = "".join(path.read_text() for path in (ROOT / "align_jax").rglob("*.py"))
    said = " ".join(re.sub(r'"\s+f?"', "", library).split())
    table = PAGES["tpu"].read_text().partition("## What can go wrong")[2]
    for words in (
        "but the installed JAX", "only runs on the CPU", "This machine has a TPU, and JAX's build for it is installed",
        "The processes did not meet", "processes is gone", "is not a path on this machine",
    ):  # fmt: skip
        assert words in table
        assert words in said, words
