"""Compiled programs are kept on disk: the next process loads them, and what a killed process left does no harm."""

import json
import os
import stat
import subprocess
import sys
from pathlib import Path

import pytest

from align_jax.cli.arguments import split_compilation_cache
from align_jax.errors import UserError
from align_jax.runtime import compilation_cache
from align_jax.runtime.compilation_cache import use_compilation_cache

ROOT = Path(__file__).parents[2]
CONFIG = ROOT / "tests" / "tiny_config.py"


def train(run, *flags, **environment):
    """One run, in a process that was told of no other cache."""
    given = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    command = [sys.executable, str(ROOT / "launch" / "main.py"), f"--config={CONFIG}", f"--workdir={run}", *flags]
    given["PYTHONPATH"] = str(ROOT)  # the config imports from the tests
    return subprocess.run(command, env=given | environment, capture_output=True, text=True, timeout=300, cwd=ROOT)


def results(run):
    return json.loads((run / "summary.json").read_text())["results"]


def test_the_next_run_compiles_nothing_anew_and_computes_the_same(tmp_path):
    """Only the seed differs, as between the runs of a sweep; the third run is without a cache."""
    cache, logged = tmp_path / "cache", {"JAX_DEBUG_LOG_MODULES": "jax._src.compiler"}
    missed = []
    for number in (0, 1):
        run = train(tmp_path / f"{number}", f"--compilation_cache={cache}", f"--config.seed={number}", **logged)
        assert run.returncode == 0, run.stderr
        missed.append(run.stderr.count("CACHE MISS for"))
        (folder,) = cache.iterdir()
        (folder / "half-cache").write_bytes(b"what a killed process left")
    assert missed[0] > 5
    assert missed[1] == 0
    assert run.stderr.count("Persistent compilation cache hit for") == missed[0]
    assert stat.S_IMODE(folder.stat().st_mode) == 0o700
    off = train(tmp_path / "off", "--compilation_cache=off", "--config.seed=1", XDG_CACHE_HOME=str(tmp_path / "xdg"))
    assert off.returncode == 0, off.stderr
    assert not (tmp_path / "xdg" / "align-jax").exists()
    assert results(tmp_path / "off") == results(tmp_path / "1")


def in_a_process(code, **environment):
    given = {name: value for name, value in os.environ.items() if not name.startswith("JAX_COMPILATION_CACHE")}
    code = f"from align_jax.runtime.compilation_cache import *; import jax\n{code}"
    return subprocess.run(
        [sys.executable, "-c", code], env=given | environment, capture_output=True, text=True, check=True, cwd=ROOT
    ).stdout.split("\n")


def test_the_folder(tmp_path):
    said = in_a_process(
        "print(use_compilation_cache(None), jax.config.jax_compilation_cache_dir)", XDG_CACHE_HOME=str(tmp_path)
    )
    folder = str(tmp_path / "align-jax" / compilation_cache.processor())
    assert said[0] == f"{folder} {folder}"
    said = in_a_process("print(use_compilation_cache(None))", JAX_COMPILATION_CACHE_DIR=str(tmp_path / "own"))
    assert said[0] == "None", "JAX was told of a folder"
    (tmp_path / "file").write_text("")
    said = in_a_process("print(use_compilation_cache(None))", XDG_CACHE_HOME=str(tmp_path / "file"))
    assert said[0] == "None", "a run does without what it cannot write"


def test_a_folder_that_cannot_be_written_is_refused(tmp_path):
    (tmp_path / "file").write_text("")
    with pytest.raises(
        UserError, match=r"--compilation_cache .*file cannot be written .*; give another folder, or off"
    ):
        use_compilation_cache(str(tmp_path / "file"))


def test_the_flag():
    assert split_compilation_cache(["main.py", "--a=1"]) == (None, ["main.py", "--a=1"])
    assert split_compilation_cache(["main.py", "--compilation_cache=x", "y"]) == ("x", ["main.py", "y"])
    with pytest.raises(UserError, match="--compilation_cache has no value"):
        split_compilation_cache(["main.py", "--compilation_cache"])
