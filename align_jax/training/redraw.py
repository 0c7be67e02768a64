"""What happens between warm-up and rounds in methods that draw a classifier's mistakes more often (JTT)."""

import dataclasses

import numpy as np

from align_jax.data.domains import EvaluationSplit
from align_jax.data.redraw import packed
from align_jax.errors import UserError
from align_jax.states import States
from align_jax.training.initial_states import initial_states, with_pretrained
from align_jax.training.run import OpenRun


def before_update(run: OpenRun, step: int, states: States) -> States:
    """What a method asks for between two updates: mistakes drawn more often, and a classifier that begins anew.

    Args:
      run: the run.
      step: the updates so far.
      states: of both networks.

    Raises:
      Stopped: the run was asked to stop.
    """
    if step != run.length.warmup or step == 0:
        return states
    if run.plan.redraws:
        with run.clock.part("evaluation"):
            _redraw(run, states)
    return _begun_anew(run, states) if run.plan.algorithm.anew(run.plan.config) else states


def _redraw(run: OpenRun, states: States) -> None:
    """From here on the batches hold the training images more often that the classifier gets wrong now.

    The images are predicted whole, without augmentation.

    Raises:
      Stopped: the run was asked to stop.
    """
    mistakes = {}
    for domain, source in run.data.train.items():
        examples = run.evaluator.examples(states, EvaluationSplit(domain, "train", "validation", source))
        mistakes[domain] = examples["probabilities"].argmax(-1) != examples["label"]
    run.batches.redraw(packed(mistakes))
    share = np.concatenate(list(mistakes.values())).mean()
    times = run.plan.algorithm.mistakes(run.plan.config)
    run.progress.say(f"{100 * share:.1f} % of the training images are classified wrongly: drawn {times} x as often")


def _begun_anew(run: OpenRun, states: States) -> States:
    """The states with the classifier as it was before the first step; the learning rate goes on as scheduled.

    Raises:
      UserError: the file of pretrained weights is gone, or is another one.
    """
    config = run.plan.config
    new = initial_states(
        run.method, run.key, run.mesh, num_classes=len(run.data.class_names), image_size=config.data.image_size
    )
    if config.classifier.pretrained:
        new, weights = with_pretrained(new, config.classifier.pretrained, run.mesh)
        if run.pretrained is not None and weights.sha256 != run.pretrained["sha256"]:
            raise UserError(
                f"The weights of config.classifier.pretrained, {config.classifier.pretrained!r}, are not those "
                "that the run began with; give it the same file, or another --workdir."
            )
    classifier, masker = states
    return (
        dataclasses.replace(classifier, params=new[0].params, batch_stats=new[0].batch_stats, carried=new[0].carried),
        masker,
    )
