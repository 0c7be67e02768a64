"""All that a method is known by."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import ml_collections

from align_jax.objectives import Objective
from align_jax.settings import Setting


class Algorithm(NamedTuple):
    """A method, from a config. Its name is its key in `ALGORITHMS`.

    Attributes:
      classifier_objective: L_clf.
      guided_terms: those of its terms that read masks; the others make the objective of warm-up.
      guidance: where its masks come from unless `config.guidance` says otherwise; see `guidance.GUIDANCES`.
      warms_up: whether the guided terms wait for `config.schedule.warmup`.
      restart: before which step the optimiser forgets its moments, or None.
      title: what it is called on a page; by default its name.
      settings: the fields of `config.NAME`.
      citation: who proposed it.
    """

    classifier_objective: Callable[[ml_collections.ConfigDict], Objective]
    guided_terms: tuple[str, ...] = ()
    guidance: str = "none"
    warms_up: bool = False
    restart: Callable[[ml_collections.ConfigDict], int | None] = lambda config: None
    title: str = ""
    settings: Mapping[str, Setting] = {}
    citation: str = ""
