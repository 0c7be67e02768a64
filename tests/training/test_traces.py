"""A run traces each of its programs once: a second trace would be a second compilation in the middle of training."""

import functools
from collections import Counter

import numpy as np

from align_jax.runtime import sharding
from align_jax.training import train_and_evaluate
from tests.tiny_config import four_steps


def test_every_program_of_a_run_is_traced_once(tmp_path, monkeypatch, trained_run):
    """Warm-up, rounds, three evaluations of several splits, and a restored checkpoint between them."""
    traced = Counter()

    def counting(step, *arguments, **named):
        @functools.wraps(step)
        def counted(*inputs):
            traced[step.__qualname__] += 1
            return step(*inputs)

        return sharding.compile_step(counted, *arguments, **named)

    for module in ("training.loop", "evaluation.evaluator", "training.initial_states"):
        monkeypatch.setattr(f"align_jax.{module}.compile_step", counting)
    train_and_evaluate(four_steps(), tmp_path / "run")
    assert dict(traced) == dict.fromkeys(
        (
            *("initial_states.<locals>.create", "_classifier_phase.<locals>.advance", "rounds_phase.<locals>.advance"),
            *(f"Evaluator.__init__.<locals>.{name}" for name in ("scored", "faithful", "<lambda>")),
        ),
        1,
    )
    predictions = [np.load(run / "predictions.npz") for run in (trained_run, tmp_path / "run")]
    for name in predictions[0].files:
        np.testing.assert_array_equal(predictions[0][name], predictions[1][name])
