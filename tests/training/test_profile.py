"""`--profile`: the trace of some updates of a run, and what a user is told of it."""

import gzip
import json
import shutil
from collections import Counter

import jax
import numpy as np
import pytest

from align_jax.training import train_and_evaluate
from align_jax.training.profile import Profile
from tests.tiny_config import four_steps


def erm():
    """Four steps of the method that compiles fastest; it is evaluated after two."""
    config = four_steps()
    config.algorithm = "erm"
    return config


@pytest.fixture(scope="module")
def profiled(tmp_path_factory):
    """A run of which two steps were traced."""
    run = tmp_path_factory.mktemp("runs") / "profiled"
    # As with the flag: the names must be this version's, and not those of an older entry of the cache.
    jax.config.update("jax_compilation_cache_include_metadata_in_key", True)
    try:
        train_and_evaluate(erm(), run, profiled_steps=2)
    finally:
        jax.config.update("jax_compilation_cache_include_metadata_in_key", False)
    return run


def events(run, folder):
    (trace,) = (run / "profile" / "plugins" / "profile").glob(f"*{folder}/*.trace.json.gz")
    return json.loads(gzip.decompress(trace.read_bytes()))["traceEvents"]


def test_a_trace_has_the_updates_after_the_one_that_compiles_and_what_lies_between(profiled):
    of_trace = events(profiled, "from_step_1")
    assert [event["args"]["step_num"] for event in of_trace if event.get("name") == "train"] == ["1", "2"]
    parts = Counter(event.get("name") for event in of_trace)
    # After step 2 the run is saved and evaluated.
    assert (parts["data"], parts["saving"], parts["evaluation"]) == (2, 1, 1)
    assert parts["compute"] >= 2


def test_a_trace_has_the_names_of_the_programs_parts(profiled):
    (trace,) = profiled.rglob("*.xplane.pb")
    content = trace.read_bytes()
    for part in (b"classifier/jvp(clean)", b"classifier/jvp(cls)", b"classifier/optimizer", b"jit(advance)/data"):
        assert part in content, part


def test_a_start_that_goes_on_traces_its_own_updates_and_tracing_changes_no_number(profiled, tmp_path, capfd):
    run = tmp_path / "copy"
    shutil.copytree(profiled, run)
    (run / "summary.json").unlink()
    shutil.rmtree(run / "checkpoints" / "4")
    train_and_evaluate(erm(), run, profiled_steps=5)
    assert f"1 of 5 steps, from step 3 on: {run / 'profile'}" in capfd.readouterr().err
    assert [e["args"]["step_num"] for e in events(run, "from_step_3") if e.get("name") == "train"] == ["3"]
    assert events(run, "from_step_1"), "the trace of the start before is kept"
    predictions = [np.load(path / "predictions.npz") for path in (profiled, run)]
    for name in predictions[0].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])


def test_a_complete_run_says_that_there_is_nothing_to_trace(profiled, capfd):
    train_and_evaluate(erm(), profiled, profiled_steps=3)
    (line,) = capfd.readouterr().err.splitlines()
    assert "WARNING --profile=3 traces nothing" in line
    assert "is complete" in line


def test_without_the_flag_there_is_no_trace_and_no_word_of_it(tmp_path):
    said = []
    profile = Profile(tmp_path, 0, said.append)
    profile.before_update(3, True, None)
    profile.end(4)
    assert said == []
    assert not any(tmp_path.iterdir())


def test_after_the_trace_no_update_is_waited_for(tmp_path, monkeypatch):
    waited, profile = [], Profile(tmp_path, 2, lambda line: None)
    monkeypatch.setattr(jax, "block_until_ready", waited.append)
    for step in range(1, 8):
        profile.before_update(step, True, step)
    assert waited == [1, 3]


def test_a_start_without_an_update_after_compiling_says_so(tmp_path):
    said = []
    profile = Profile(tmp_path, 5, said.append)
    profile.before_update(3, False, None)
    profile.end(4)
    profile.end()
    assert said == ["WARNING --profile=5 found no update to trace: this start made none after compiling."]


def test_a_trace_that_cannot_begin_is_said_and_the_run_goes_on(tmp_path):
    said = []
    profile = Profile(tmp_path / "second", 5, said.append)
    with jax.profiler.trace(tmp_path / "first"):
        profile.before_update(3, True, None)
        profile.before_update(4, True, None)
    profile.end(4)
    (line,) = said
    assert line.startswith("WARNING the profile could not begin: Profile has already been started.")


def test_a_trace_that_cannot_be_written_is_said_and_the_run_goes_on(tmp_path, monkeypatch):
    said, stop = [], jax.profiler.stop_trace

    def full():
        monkeypatch.undo()
        stop()
        raise OSError(28, "No space left on device")

    profile = Profile(tmp_path, 5, said.append)
    profile.before_update(3, True, None)
    monkeypatch.setattr(jax.profiler, "stop_trace", full)
    profile.end(7)
    profile.end()
    (line,) = said
    assert line.startswith(f"WARNING the profile could not be written into {tmp_path / 'profile'}: ")
    assert line.endswith("No space left on device")
