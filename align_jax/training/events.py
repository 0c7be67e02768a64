"""What is due at a step: a pure function of the step and the settings, so that a resumed run does the same."""

from typing import NamedTuple

import ml_collections

from align_jax.training.plan import Length


class Events(NamedTuple):
    """What is due after the update that led to a step, in the order in which it is done.

    Attributes:
      log: a line of training metrics.
      checkpoint: the state *before* the evaluation at the same step.
      gallery: the pictures from before guidance, at the end of warm-up.
      evaluation: the scores of every split that is not evaluated only at the end.
    """

    log: bool
    checkpoint: bool
    gallery: bool
    evaluation: bool


def events(config: ml_collections.ConfigDict, length: Length, step: int, taken: int) -> Events:
    """What is due at a step, after a call of a program that took `taken` steps; a round can take several."""

    def crosses(every: int) -> bool:
        """Whether a multiple of `every` lies in (step - taken, step]."""
        return step > 0 and step // every > (step - taken) // every

    evaluation = step >= length.steps or crosses(config.evaluation.every)
    checkpoint = evaluation or crosses(config.checkpoint_every)
    return Events(
        log=checkpoint or step == length.warmup or crosses(config.log_every),
        checkpoint=checkpoint,
        gallery=step == length.warmup > 0,
        evaluation=evaluation,
    )
