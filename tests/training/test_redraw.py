"""Mistakes are drawn more often after warm-up, and a run that is stopped there ends as one that never was."""

import json
import signal

import jax
import numpy as np
import pytest

from align_jax.data.domains import column
from align_jax.data.redraw import redrawn, unpacked
from align_jax.errors import UserError
from align_jax.runs.read_checkpoint import saved_steps
from align_jax.runtime.interruption import Interrupted
from align_jax.training import redraw, train_and_evaluate
from align_jax.training.plan import plan
from tests.processes import same_but_for_timing, states
from tests.tiny_config import Squares, get_config
from tests.training.test_loop import stop_after_each


def redrawing(algorithm="background_swap"):
    config = get_config()
    config.algorithm = algorithm
    return config


def position(run, step):
    metadata = json.loads((run / "checkpoints" / str(step) / "_CHECKPOINT_METADATA").read_text())
    return metadata["custom_metadata"]


@pytest.fixture(scope="module")
def uninterrupted(tmp_path_factory):
    run = tmp_path_factory.mktemp("runs") / "whole"
    train_and_evaluate(redrawing(), run)
    return run


def test_the_classifiers_mistakes_at_the_end_of_warm_up_are_a_part_of_the_position(uninterrupted):
    sources = {domain: Squares(number, 0, 30) for number, domain in enumerate(("dark", "grey"))}
    mistakes = unpacked(position(uninterrupted, 8)["data"]["draws"], sources)
    # An untrained classifier sees one colour in almost all images: those of that colour are right, the others wrong.
    for domain, wrong in mistakes.items():
        label = np.array(column(sources[domain], "label"))
        assert 0 < wrong.sum() < 30, domain
        assert len({(wrong[label == colour].mean() > 0.5) for colour in range(3)}) == 2


def test_stopped_after_every_step_it_ends_bit_identical(uninterrupted, tmp_path, monkeypatch):
    run = tmp_path / "run"
    for step in (1, 2, 3, 4, 5):
        stop_after_each(redrawing(), run, (step,), monkeypatch)
        assert ("draws" in position(run, step)["data"]) == (step > 3)
    train_and_evaluate(redrawing(), run)
    jax.tree.map(np.testing.assert_array_equal, states(run), states(uninterrupted))
    same_but_for_timing(run, uninterrupted)


def test_mistakes_are_drawn_as_often_as_the_config_says(tmp_path, monkeypatch):
    seen = []

    def watched(sources, mistakes, times):
        seen.append(times)
        return redrawn(sources, mistakes, times)

    monkeypatch.setattr("align_jax.training.run.redrawn", watched)
    config = redrawing("jtt")
    config.jtt.mistakes = 7
    train_and_evaluate(config, tmp_path / "run")
    assert seen == [7]


def test_a_request_that_comes_while_mistakes_are_looked_for_loses_nothing(tmp_path, monkeypatch):
    """The end of warm-up, step 3, has no checkpoint of its own."""
    looked = redraw.EvaluationSplit

    def stopping(*fields):
        signal.raise_signal(signal.SIGTERM)
        return looked(*fields)

    with monkeypatch.context() as patched:
        patched.setattr(redraw, "EvaluationSplit", stopping)
        with pytest.raises(Interrupted, match="after step 3 of 8, which is saved"):
            train_and_evaluate(redrawing(), tmp_path / "run")
    assert saved_steps(tmp_path / "run" / "checkpoints")[-1] == 3
    assert not (tmp_path / "run" / "summary.json").exists()


def test_jtt_begins_anew_after_warm_up(tmp_path):
    config = redrawing("jtt")
    config.schedule.length, config.schedule.warmup, config.evaluation.every = 4, 3.0, 4
    config.checkpoint_every = 1
    config.optim.lr = 0.1
    train_and_evaluate(config, tmp_path / "anew")
    other = redrawing("jtt")
    other.update(config)
    other.schedule.length, other.schedule.warmup = 1, 0.0
    other.jtt.mistakes = 1
    train_and_evaluate(other, tmp_path / "fresh")
    # Nothing guides it, so there is no picture from before guidance.
    assert not (tmp_path / "anew" / "gallery" / "before_guidance.npz").exists()
    # Adam's first step is of the learning rate, whatever the gradient: from the same start, parameters are 2 lr apart
    # at most. After three steps of warm-up they are up to 4 lr from it.
    first, anew = (states(tmp_path / name, step)[0]["params"] for name, step in (("fresh", 1), ("anew", 4)))
    distance = max(jax.tree.leaves(jax.tree.map(lambda a, b: float(np.abs(a - b).max()), first, anew)))
    assert distance <= 2 * config.optim.lr + 1e-6


def test_without_warm_up_there_are_no_mistakes_to_draw():
    config = redrawing()
    config.schedule.warmup = 0.0
    with pytest.raises(UserError, match=r"the warm-up has 0 of 8 steps"):
        plan(config)
    config.background_swap.mistakes = 1
    assert not plan(config).redraws
