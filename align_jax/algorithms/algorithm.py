"""What the library knows of a method."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import ml_collections

from align_jax.objectives import Objective
from align_jax.settings import Setting


class Algorithm(NamedTuple):
    """A method's entry in `ALGORITHMS`, where its key is its name.

    Attributes:
      classifier_objective: L_clf, given a config.
      guided_terms: the terms of L_clf that read masks. The others are the objective of warm-up.
      guidance: where the masks come from, unless `config.guidance` says otherwise; see `guidance.GUIDANCES`.
      warms_up: whether the guided terms begin only after `config.schedule.warmup`.
      restart: the step before which the optimiser's moments are reset, given a config; or None.
      title: its name on a page; by default its key.
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
