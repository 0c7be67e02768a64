"""Every shell script is one that shellcheck accepts, that `make lint` checks, and that can be started."""

import os
import re
import subprocess
from pathlib import Path

import pytest

from tests.launch.rehearsal import ROOT, checkout, rehearse, shellcheck

IGNORED = {".git", ".venv", "build", "runs", "data", "site"}


def is_shell(path: Path) -> bool:
    with path.open("rb") as file:
        return bool(re.match(rb"#!.*\b(ba)?sh\b", file.readline(100)))


FILES = [path for path in ROOT.rglob("*") if path.is_file() and not IGNORED & set(path.relative_to(ROOT).parts)]
SCRIPTS = sorted(path.relative_to(ROOT) for path in FILES if path.suffix not in (".py", ".md") and is_shell(path))


@pytest.mark.parametrize("script", SCRIPTS, ids=str)
def test_a_script_is_good_and_can_be_started(script):
    assert shellcheck((ROOT / script).read_text()) == ""
    assert os.access(ROOT / script, os.X_OK) or script.suffix == ".sbatch"


def test_lint_checks_every_script_and_the_image():
    """make says what it would do, without doing it."""
    listed = subprocess.run(
        ["make", "--dry-run", "--assume-old=.venv/installed-dev", "lint"], cwd=ROOT, capture_output=True, text=True
    ).stdout
    (checked,) = re.findall(r"bin/shellcheck (.*)", listed)
    assert sorted(map(Path, checked.split())) == SCRIPTS
    assert len(SCRIPTS) >= 5
    (image,) = re.findall(r"bin/hadolint (.*)", listed)
    assert (ROOT / image).read_text().startswith("#")


def test_shellcheck_finds_what_is_wrong():
    assert "SC2086" in shellcheck("#!/usr/bin/env bash\nrm $1\n")


def test_install_uses_the_machines_python_if_it_is_new_enough(tmp_path):
    done = rehearse("launch/install.sh 'jax[tpu]'", checkout(tmp_path))
    assert done.status == 0, done.output
    ((target, python, jax),) = done.of("make")
    assert (target, jax) == (".venv/installed", "JAX=jax[tpu]")
    assert python.startswith("PYTHON=/")
    assert done.of("uv") == []


def test_install_brings_a_python_where_the_machines_is_too_old(tmp_path):
    checkout(tmp_path)
    old = tmp_path / "old"
    old.mkdir()
    (old / "python3").write_text("#!/bin/sh\nexit 1\n")
    (old / "uv").write_text('#!/bin/sh\n[ "$2" != find ] || echo /the/new/python\n')
    for program in old.iterdir():
        program.chmod(0o755)
    done = rehearse(f"PATH={old}:$PATH launch/install.sh 'jax[cuda13]'", tmp_path)
    assert done.status == 0, done.output
    assert done.of("make") == [[".venv/installed", "PYTHON=/the/new/python", "JAX=jax[cuda13]"]]


def test_install_says_what_to_write(tmp_path):
    done = rehearse("launch/install.sh", checkout(tmp_path))
    assert done.status != 0
    assert "jax[tpu]" in done.output


def test_a_bucket_is_mounted_once_and_its_scheme_left_out(tmp_path):
    mount = 'launch/tpu/mount_bucket.sh gs://my-bucket "$HOME/bucket"'
    done = rehearse(mount, checkout(tmp_path))
    assert done.status == 0, done.output
    ((*options, bucket, folder),) = done.of("gcsfuse")
    assert (bucket, folder) == ("my-bucket", str(tmp_path / "bucket"))
    assert "--metadata-cache-ttl-secs=0" in options
    assert done.of("sudo") == []
    stand_ins = tmp_path / "mounted"
    stand_ins.mkdir()
    (stand_ins / "mountpoint").symlink_to("/bin/true")
    assert rehearse(f"PATH={stand_ins}:$PATH {mount}", tmp_path).of("gcsfuse") == []


def test_gcsfuse_is_installed_where_it_is_not(tmp_path):
    done = rehearse('launch/tpu/mount_bucket.sh my-bucket "$HOME/bucket"', checkout(tmp_path), absent=("gcsfuse",))
    assert next(call for call in done.of("sudo") if "install" in call)[-2:] == ["--yes", "gcsfuse"]
