"""Metrics by name: from the quantities of one method's maps to a value for each image.

To add a metric, add a line to `METRICS`.
"""

import dataclasses
import functools
from collections.abc import Callable
from functools import cached_property

import jax
from jaxtyping import Array, Float, Key, Shaped

from align_jax.explanations import complexity, faithfulness, localisation, perturbations, soft
from align_jax.explanations.curves import ERASER, Curves, Probabilities
from align_jax.explanations.road import road
from align_jax.fills import Fill
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.targets import Classes

# What metrics have as options, and have no setting for.
TOP_SHARE = 10  # top_k_inside: a tenth of the pixels
NOISE_RADIUS, NOISES = 0.02, 10  # max_sensitivity: captum's
SUBSET_SHARE, SUBSETS = 10, 100  # faithfulness_correlation: a tenth of the pixels at a time


@dataclasses.dataclass(frozen=True)
class Settings:
    """What the metrics of one evaluation share.

    Attributes:
      fill: of removed pixels, see `fills.filled`.
      insertion_fill: what insertion starts from.
      fractions: the bins of comprehensiveness and sufficiency.
      steps: of deletion and insertion.
      preprocessing: how the images were normalised.
    """

    fill: Fill
    insertion_fill: Fill = "blur"
    fractions: tuple[float, ...] = ERASER
    steps: int = 20
    preprocessing: Preprocessing | None = None


@dataclasses.dataclass(frozen=True)
class MapForward:
    """The quantities that one method's metrics are computed from; each is computed once, and only if it is read.

    Attributes:
      probabilities: of the classifier; if the target is a function, its outputs.
      clean: the same of the images as they are.
      explain: images -> maps in [0, 1], of the same class.
      image: as the model sees them.
      maps: the maps that are scored.
      target: the class that they explain.
      true_mask: of the object, in [0, 1]; or None.
      key: of each image; None if no metric needs it.
      curves: with the fill, at the fractions that the metrics need.
      insertion: with the fill of insertion; likewise.
      settings: see `Settings`.
    """

    probabilities: Probabilities
    clean: Float[Array, "b ..."]
    explain: Callable[[Float[Array, "b h w c"]], Float[Array, "b h w"]]
    image: Float[Array, "b h w c"]
    maps: Float[Array, "b h w"]
    target: Classes
    true_mask: Shaped[Array, "b h w"] | None
    key: Key[Array, " b"] | None
    curves: Curves
    insertion: Curves
    settings: Settings

    @cached_property
    def masked(self) -> soft.Masked:
        """Masked by the map, with fill 0, as the authors of average drop do."""
        return soft.mask(self.probabilities, self.image, self.maps, self.target, fill="zero", clean=self.clean)

    @cached_property
    def softly_masked(self) -> soft.Masked:
        """Masked by the map, with the evaluation's fill."""
        settings = self.settings
        return soft.mask(
            self.probabilities,
            self.image,
            self.maps,
            self.target,
            fill=settings.fill,
            preprocessing=settings.preprocessing,
            clean=self.clean,
        )

    @cached_property
    def adcc(self) -> Float[Array, " b"]:
        """See `soft.adcc`."""
        kept = self.image * self.maps[..., None].astype(self.image.dtype)
        return soft.adcc(self.masked, self.maps, self.explain(kept)).adcc

    @cached_property
    def road(self) -> Float[Array, " b"]:
        """(p_c without the bottom - p_c without the top) / 2, mean over 20, 50 and 80 % of the pixels; see `road`."""

        def without(top: bool) -> Float[Array, " b"]:
            return road(
                self.probabilities, self.image, self.maps, self.target, most_relevant_first=top, key=self.key
            ).mean(axis=1)

        return (without(False) - without(True)) / 2

    @cached_property
    def max_sensitivity(self) -> Float[Array, " b"]:
        """See `perturbations.max_sensitivity`; noise is uniform, in the image's values."""
        noise = perturbations.uniform_noise(self._own_key(1), self.image, NOISE_RADIUS)
        return perturbations.max_sensitivity(self.explain, self.image, noise=noise, samples=NOISES)

    @cached_property
    def faithfulness_correlation(self) -> Float[Array, " b"]:
        """See `perturbations.faithfulness_correlation`; with the evaluation's fill."""
        pixels = self.maps.shape[1] * self.maps.shape[2]
        return perturbations.faithfulness_correlation(
            self.probabilities,
            self.image,
            self.maps,
            self.target,
            subsets=perturbations.random_subsets(self._own_key(2), self.image, max(1, pixels // SUBSET_SHARE)),
            samples=SUBSETS,
            fill=self.settings.fill,
            preprocessing=self.settings.preprocessing,
        )

    def _own_key(self, number: int) -> Key[Array, " b"]:
        """Other draws than those of the random map and of ROAD."""
        assert self.key is not None  # `evaluator` has looked
        return jax.vmap(lambda key: jax.random.fold_in(key, number))(self.key)


def _top_inside(maps: Float[Array, "b h w"], true_mask: Shaped[Array, "b h w"]) -> Float[Array, " b"]:
    return localisation.top_k_inside(maps, true_mask, max(1, maps.shape[1] * maps.shape[2] // TOP_SHARE))


def _against_the_mask(metric: Callable[[Array, Array], Array], of: MapForward) -> Float[Array, " b"]:
    assert of.true_mask is not None  # `evaluator` has looked
    return metric(of.maps, of.true_mask)


CURVES: dict[str, Callable[[MapForward], Float[Array, " b"]]] = {
    "comprehensiveness": lambda of: faithfulness.comprehensiveness(of.curves, of.settings.fractions),
    "sufficiency": lambda of: faithfulness.sufficiency(of.curves, of.settings.fractions),
    "deletion_auc": lambda of: faithfulness.deletion_auc(of.curves, of.settings.steps),
    "insertion_auc": lambda of: faithfulness.insertion_auc(of.insertion, of.settings.steps),
}
AGAINST_A_MASK = {
    function.__name__: function
    for function in (
        localisation.energy_inside,
        localisation.pointing_game,
        localisation.rank_accuracy,
        localisation.roc_auc,
        localisation.average_precision,
    )
} | {"top_k_inside": _top_inside}
# These draw at random.
DRAWING = ("road", "max_sensitivity", "faithfulness_correlation")
METRICS: dict[str, Callable[[MapForward], Float[Array, " b"]]] = {
    **CURVES,
    "soft_comprehensiveness": lambda of: soft.soft_comprehensiveness(of.softly_masked),
    "soft_sufficiency": lambda of: soft.soft_sufficiency(of.softly_masked),
    "average_drop": lambda of: soft.average_drop(of.masked),
    "increase": lambda of: soft.increase(of.masked),
    "adcc": lambda of: of.adcc,
    "road": lambda of: of.road,
    "max_sensitivity": lambda of: of.max_sensitivity,
    "faithfulness_correlation": lambda of: of.faithfulness_correlation,
    **{name: functools.partial(_against_the_mask, metric) for name, metric in AGAINST_A_MASK.items()},
    "gini": lambda of: complexity.gini(of.maps),
    "entropy": lambda of: complexity.entropy(of.maps),
}
HIGHER_IS_BETTER = {
    name: name not in ("sufficiency", "soft_sufficiency", "deletion_auc", "average_drop", "max_sensitivity")
    for name in METRICS
    if name not in ("gini", "entropy")  # a simple map is not a better one
}
