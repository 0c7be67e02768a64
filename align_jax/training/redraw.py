"""What happens between warm-up and rounds in methods that draw a classifier's mistakes more often (JTT)."""

import dataclasses

import numpy as np

from align_jax.data.domains import EvaluationSplit
from align_jax.data.redraw import packed
from align_jax.states import States
from align_jax.training.initial_states import initial_states, with_pretrained
from align_jax.training.run import OpenRun


def redraws_at(step: int, warmup: int, every: int, taken: int) -> bool:
    """Whether mistakes are looked for at a step: at the end of warm-up, and in the first round `every` steps later, ...

    Args:
      step: the updates so far.
      warmup: its length; without one there are no mistakes to look for.
      every: 0 for never again.
      taken: the steps of a round.
    """
    since = step - warmup
    if not warmup or since < 0:
        return False
    return since == 0 or (every > 0 and since // every > (since - taken) // every)


def before_update(run: OpenRun, step: int, states: States) -> States:
    """What a method asks for between two updates: mistakes drawn more often, and a classifier that begins anew.

    Args:
      run: the run.
      step: the updates so far.
      states: of both networks.

    Raises:
      Stopped: the run was asked to stop.
    """
    algorithm, config, warmup = run.plan.algorithm, run.plan.config, run.length.warmup
    if run.plan.redraws and redraws_at(step, warmup, algorithm.redraw_every(config), config.schedule.classifier_steps):
        _redraw(run, states)
    return _begun_anew(run, states) if step == warmup > 0 and algorithm.anew(config) else states


def _redraw(run: OpenRun, states: States) -> None:
    """From here on the batches hold the training images more often that the classifier gets wrong now.

    The images are predicted whole, without augmentation.

    Raises:
      Stopped: the run was asked to stop.
    """
    mistakes = {}
    for domain, source in run.train.items():
        examples = run.evaluator.examples(states, EvaluationSplit(domain, "train", "validation", source))
        mistakes[domain] = examples["probabilities"].argmax(-1) != examples["label"]
    run.batches.redraw(packed(mistakes))
    share = np.concatenate(list(mistakes.values())).mean()
    times = run.plan.algorithm.mistakes(run.plan.config)
    run.progress.say(f"{100 * share:.1f} % of the training images are classified wrongly: drawn {times} x as often")


def _begun_anew(run: OpenRun, states: States) -> States:
    """The states with the classifier as it was before the first step, its optimiser's schedule aside."""
    config = run.plan.config
    new = initial_states(
        run.method, run.key, run.mesh, num_classes=len(run.data.class_names), image_size=config.data.image_size
    )
    if config.classifier.pretrained:
        new, _ = with_pretrained(new, config.classifier.pretrained, run.mesh)
    classifier, masker = states
    return (
        dataclasses.replace(classifier, params=new[0].params, batch_stats=new[0].batch_stats, carried=new[0].carried),
        masker,
    )
