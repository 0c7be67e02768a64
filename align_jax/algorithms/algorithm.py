"""What the library knows of a method."""

from collections.abc import Callable, Mapping
from typing import NamedTuple

import ml_collections

from align_jax.objectives import Objective
from align_jax.settings import Setting
from align_jax.swaps import SwapSettings


class Algorithm(NamedTuple):
    """A method's entry in `ALGORITHMS`, where its key is its name.

    Attributes:
      classifier_objective: L_clf, given a config.
      guided_terms: the terms of L_clf that read masks.
      warmup_objective: L_clf in warm-up and without masks, given a config; by default L_clf without the guided terms.
      guidance: where the masks come from, unless `config.guidance` says otherwise; see `guidance.GUIDANCES`.
      warms_up: whether the guided terms begin only after `config.schedule.warmup`.
      masker_objective: L_mask, given a config and the number of the masker's updates; by default ALIGN's.
      swap: how backgrounds are swapped, given a config; read by terms that swap them.
      composites: whether other images replace what a mask removes in the masker's objective too, given a config.
      mistakes: how many times as often the classifier's mistakes at the end of warm-up are drawn from then on, given a
        config.
      anew: whether the classifier begins anew after warm-up, given a config.
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
    warmup_objective: Callable[[ml_collections.ConfigDict], Objective] | None = None
    masker_objective: Callable[[ml_collections.ConfigDict, int], Objective] | None = None
    swap: Callable[[ml_collections.ConfigDict], SwapSettings] = lambda config: SwapSettings(**config.align.swap)
    composites: Callable[[ml_collections.ConfigDict], bool] = lambda config: False
    mistakes: Callable[[ml_collections.ConfigDict], int] = lambda config: 1
    anew: Callable[[ml_collections.ConfigDict], bool] = lambda config: False
