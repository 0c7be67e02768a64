"""The settings of saliency in training, where a loss reads it."""

import dataclasses
from typing import Literal

from align_jax.saliency.cams import ExplainedScore


@dataclasses.dataclass(frozen=True)
class SaliencySettings:
    """How Phi, the saliency map, is computed in training.

    Attributes:
      alpha: whether Grad-CAM's channel weights are differentiated or constants.
      normalise: "minmax" or "max" (see `saliency.NORMALISATIONS`).
      mixing_concentration: c in lambda ~ Beta(c, c) of the same-class mixup.
      explained: Grad-CAM of the label's "logit" or of its "log_probability".
    """

    alpha: Literal["differentiated", "constant"] = "differentiated"
    normalise: Literal["minmax", "max"] = "minmax"
    mixing_concentration: float = 0.2
    explained: ExplainedScore = "logit"
