"""1,000 mutated files of every kind that is not trusted: read or refused, and nothing else."""

import shutil
import subprocess
import sys

import pytest

from tests.processes import ROOT, environment
from tests.storm.read_mutated import KINDS

pytestmark = pytest.mark.storm
FILES = 1000
MOST_MEBIBYTES = 2048


@pytest.mark.parametrize("kind", KINDS)
def test_mutated_files_are_read_or_refused(kind, trained_run, tmp_path):
    inside = tmp_path / "inside"
    # A summary is read with the files beside it.
    shutil.copytree(trained_run, inside)
    before = everything(tmp_path, but=inside)
    ended = subprocess.run(
        [sys.executable, "-m", "tests.storm.read_mutated", kind, str(inside), str(FILES), str(trained_run)],
        env=environment(), cwd=ROOT, capture_output=True, text=True,
    )  # fmt: skip
    assert ended.returncode == 0, ended.stderr[-3000:]
    mebibytes, reads = map(int, ended.stdout.split()[-2:])
    print(f"{kind}: {reads} of {FILES} were read, the others refused; {mebibytes} MiB at most")
    assert mebibytes < MOST_MEBIBYTES
    assert reads < FILES
    assert everything(tmp_path, but=inside) == before


def everything(folder, but):
    return {path for path in folder.rglob("*") if but not in (path, *path.parents)}
