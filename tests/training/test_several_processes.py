"""Two processes with two devices each train what one process with one device trains, and survive their faults."""

import json
import os
import shutil
import signal

import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from align_jax.runs.read_checkpoint import read_position, saved_steps
from align_jax.training.metrics_log import NoMetrics

from ..processes import log_without_times
from ..several_processes import ROOT, start

pytestmark = pytest.mark.several_processes
CONFIG = f"--config={ROOT / 'tests' / 'twenty_rounds.py'}"
LOST = 75
STEPS = 20


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    return tmp_path_factory.mktemp("several")


@pytest.fixture(scope="module")
def train(folder):
    """Starts a training run, see `command`."""

    def begin(name, processes=1, devices=1):
        return command("main.py", folder / name, CONFIG, processes=processes, devices=devices)

    return begin


def command(program, run, *arguments, processes, devices):
    """A command with a run's folder. All processes of all commands share a compilation cache."""
    cache = f"{os.environ['JAX_COMPILATION_CACHE_DIR']}-several"
    arguments = [*arguments, f"--workdir={run}", f"--compilation_cache={cache}"]
    return start(
        program, arguments, run.parent / "said" / f"{run.name}-{program}", processes=processes, devices=devices
    )


@pytest.fixture(scope="module")
def alone(train, folder):
    """One process with one device, from the first step to the last."""
    started = train("alone")
    assert started.ended() == [0], started.said(0)
    return folder / "alone"


@pytest.fixture(scope="module")
def pair(train, folder):
    """Two processes with two devices each, from the first step to the last, and what they said."""
    started = train("pair", 2, 2)
    assert started.ended() == [0, 0], started.said(0) + started.said(1)
    return folder / "pair", started


@pytest.fixture(scope="module")
def interrupted(train, folder):
    """A pair that gets SIGTERM on one host, is started again, loses a process, and is started again.

    A copy of its folder is made after the first stop, for other topologies.
    """
    run, history = folder / "interrupted", {}
    started = train("interrupted", 2, 2)
    started.wait_for(lambda: saved_steps(run / "checkpoints"))
    started.processes[1].send_signal(signal.SIGTERM)  # not the writer
    history["asked"] = started.ended(), [started.said(number) for number in range(2)]
    stopped_at = saved_steps(run / "checkpoints")[-1]
    shutil.copytree(run, folder / "stopped")
    started = train("interrupted", 2, 2)
    started.wait_for(lambda: saved_steps(run / "checkpoints")[-1] > stopped_at)
    started.processes[0].send_signal(signal.SIGKILL)
    history["killed"] = started.ended(within_s=60), [started.said(number) for number in range(2)]
    assert not (run / "summary.json").exists(), "it was killed too late"
    started = train("interrupted", 2, 2)
    history["again"] = started.ended(), [started.said(number) for number in range(2)]
    return run, history


def states(run, step=STEPS):
    """The states in a checkpoint, on one device, whichever devices it was saved from."""
    checkpoint, here = run / "checkpoints" / str(step), jax.sharding.SingleDeviceSharding(jax.devices()[0])
    saved = ocp.checkpointables_metadata(checkpoint).metadata["states"]
    like = jax.tree.map(lambda leaf: jax.ShapeDtypeStruct(leaf.shape, leaf.dtype, sharding=here), saved)
    return jax.tree.map(np.asarray, ocp.load_checkpointables(checkpoint, {"states": like})["states"])


def training(run):
    """The lines of training, without the gradients' norms: at the kinks of |difference| rounding turns a gradient."""
    lines = [line for line in log_without_times(run) if line["split"] == "train"]
    return [{name: value for name, value in line.items() if "gradient_norm" not in name} for line in lines]


def parameters(run):
    """Of both networks, with BatchNorm's statistics; not the optimisers' sums of gradients."""
    return [{name: network[name] for name in ("params", "batch_stats")} for network in states(run)]


def assert_close(first, second, tolerance):
    """Two logs, or two values of them, are equal but for rounding."""
    if isinstance(first, dict):
        assert first.keys() == second.keys()
        for name in first:
            assert_close(first[name], second[name], tolerance)
    elif isinstance(first, list):
        assert len(first) == len(second)
        for one, other in zip(first, second, strict=True):
            assert_close(one, other, tolerance)
    elif isinstance(first, float):
        assert first == pytest.approx(second, abs=tolerance)
    else:
        assert first == second


def test_two_processes_have_the_losses_and_the_parameters_of_one(alone, pair):
    run, _ = pair
    assert [line["step"] for line in training(alone)] == list(range(1, STEPS + 1))
    assert_close(training(alone), training(run), tolerance=1e-5)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-4), parameters(alone), parameters(run)
    )


def test_two_processes_evaluate_what_one_does_without_counting_padding(alone, pair):
    run, _ = pair
    evaluated = [[line for line in log_without_times(of) if line["split"] != "train"] for of in (alone, run)]
    assert len(evaluated[0]) == 2 * 5
    assert_close(*evaluated, tolerance=1e-3)
    summaries = [json.loads((of / "summary.json").read_text()) for of in (alone, run)]
    for summary in summaries:
        del summary["timing"]
    assert_close(*summaries, tolerance=1e-3)
    assert all(row["examples"] == 12 for row in summaries[1]["results"])
    one, two = (np.load(of / "predictions.npz") for of in (alone, run))
    assert one.files == two.files
    for name in one.files:
        if one[name].dtype.kind == "f":
            np.testing.assert_allclose(one[name], two[name], atol=1e-3)
        else:
            np.testing.assert_array_equal(one[name], two[name])


def test_one_process_writes_and_speaks(pair, alone):
    run, started = pair
    assert {path.name for path in run.iterdir()} - {"evaluations"} == {path.name for path in alone.iterdir()}
    assert "devices     4 x cpu (cpu), in 2 processes" in started.said(0)
    assert "Report: " in started.said(0)
    assert started.said(1) == ""
    (only,) = json.loads((run / "environment.json").read_text())["starts"]
    assert only["devices"]["processes"] == 2
    assert NoMetrics().position() == 0


def test_two_processes_evaluate_a_run_again_as_they_did_when_it_ended(pair):
    run, _ = pair
    started = command("evaluate.py", run, processes=2, devices=2)
    assert started.ended() == [0, 0], started.said(0) + started.said(1)
    assert started.said(0).splitlines()[-1].startswith("Evaluation: ")
    assert started.said(1) == ""
    (written,) = (run / "evaluations").iterdir()
    evaluation, summary = (json.loads(path.read_text()) for path in (written, run / "summary.json"))
    tested = [row for row in evaluation["results"] if row["split"] == "test"]
    assert_close(tested, summary["results"], tolerance=1e-6)


def test_sigterm_on_one_host_saves_on_all_and_every_one_ends_with_its_status(interrupted):
    _, history = interrupted
    statuses, (writer, other) = history["asked"]
    assert statuses == [143, 143], writer + other
    assert "Stopped by SIGTERM after step" in writer
    assert "the same command goes on from there" in writer
    assert other == "SIGTERM: saving at the next step; Ctrl-C again ends at once."


def test_where_one_is_killed_the_other_ends_within_a_minute_with_a_sentence(interrupted):
    _, history = interrupted
    statuses, (_, other) = history["killed"]
    assert statuses == [-signal.SIGKILL, LOST]
    assert "of the 2 processes is gone: it was killed" in other
    assert "Traceback" not in other


def test_started_again_they_end_bit_identical_to_a_run_that_was_never_stopped(interrupted, pair):
    run, history = interrupted
    assert history["again"][0] == [0, 0], history["again"][1]
    assert "resuming at step" in history["again"][1][0]
    jax.tree.map(np.testing.assert_array_equal, states(run), states(pair[0]))
    assert log_without_times(run) == log_without_times(pair[0])
    one, two = (np.load(of / "predictions.npz") for of in (run, pair[0]))
    for name in one.files:
        np.testing.assert_array_equal(one[name], two[name])


def test_a_run_goes_on_with_other_numbers_of_processes_and_devices(interrupted, alone, train, folder):
    """Two processes of two devices, then one of one, then one of eight."""
    del interrupted  # which has made the copy
    run = folder / "stopped"
    positions = [at(run)]
    started = train("stopped", 1, 1)
    started.wait_for(lambda: saved_steps(run / "checkpoints")[-1] > positions[0].step)
    started.processes[0].send_signal(signal.SIGTERM)
    assert started.ended() == [143], started.said(0)
    positions.append(at(run))
    started = train("stopped", 1, 8)
    assert started.ended() == [0], started.said(0)
    assert "devices     8 x cpu" in started.said(0)
    positions.append(at(run))
    assert [position.data["next_index"] for position in positions] == [position.step for position in positions]
    assert positions[-1] == at(alone)._replace(
        timing=positions[-1].timing, log_bytes=positions[-1].log_bytes, selected=positions[-1].selected
    )
    assert_close(training(alone), training(run), tolerance=1e-5)
    jax.tree.map(
        lambda one, other: np.testing.assert_allclose(one, other, atol=1e-4), parameters(alone), parameters(run)
    )


def at(run):
    """Where the newest checkpoint of a run stands."""
    return read_position(run / "checkpoints" / str(saved_steps(run / "checkpoints")[-1]))
