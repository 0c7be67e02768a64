"""What the page of explanations is drawn from: plain data of a run, whoever measured them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
from jaxtyping import Float, UInt8

from align_jax.errors import UserError


@dataclass(frozen=True)
class ExplainedImage:
    """An image that has a card on the page.

    Attributes:
      place: where it stands among the images that were measured, from 0.
      name: which image it is, such as its file's path.
      domain: where it is from.
      label: its class; None if nobody has said it.
      predicted: the class that the classifier predicted.
      probability: of the predicted class.
      image: as the classifier saw it.
      filled: of what becomes a removed pixel: the whole image after the fill.
      maps: by method, in [0, 1]; higher is more important.
    """

    place: int
    name: str
    domain: str
    label: str | None
    predicted: str
    probability: float
    image: UInt8[np.ndarray, "h w 3"]
    filled: UInt8[np.ndarray, "h w 3"]
    maps: Mapping[str, Float[np.ndarray, "h w"]]

    @property
    def right(self) -> bool | None:
        """Whether the prediction is the label; None without a label."""
        return None if self.label is None else self.predicted == self.label


@dataclass(frozen=True)
class Curves:
    """The probability of the explained class while pixels are removed, or put back, by one method's map.

    Attributes:
      fractions: the shares of the pixels, rising, in [0, 1].
      deletion: with that share of the most important pixels removed; NaN where an image's map orders no pixels. None
        where it was not measured.
      insertion: with nothing but that share of them; likewise.
    """

    fractions: Float[np.ndarray, " k"]
    deletion: Float[np.ndarray, "n k"] | None
    insertion: Float[np.ndarray, "n k"] | None

    @property
    def measured(self) -> dict[str, Float[np.ndarray, "n k"]]:
        """Those that were measured, by name."""
        both = {"deletion": self.deletion, "insertion": self.insertion}
        return {which: points for which, points in both.items() if points is not None}


@dataclass(frozen=True)
class Settings:
    """How it was measured; the page says so.

    Attributes:
      fill: what removed pixels become.
      insertion_fill: what insertion starts from.
      explained_class: of which class the maps are, such as "predicted".
      steps: of deletion and insertion.
      shown_fraction: of the pixels, removed and kept in the pictures of the page; in (0, 1).
    """

    fill: str
    insertion_fill: str
    explained_class: str
    steps: int
    shown_fraction: float = 0.2


@dataclass(frozen=True)
class Explanations:
    """The explanations of one run.

    Attributes:
      settings: see `Settings`.
      images: those that have a card, in the order of the page.
      values: by method and metric, one value for each of the n measured images; NaN where it is undefined.
      curves: by method; methods without are left out of the figure.
      higher_is_better: by metric; for a metric that is not here, neither is better.
      controls: the methods that know nothing of the classifier.
      random: the control that the others are compared with; None for no comparison.
      clusters: of each measured image, which others it belongs with, such as its concept; None if each stands alone.
    """

    settings: Settings
    images: Sequence[ExplainedImage]
    values: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]]
    curves: Mapping[str, Curves] = field(default_factory=dict)
    higher_is_better: Mapping[str, bool] = field(default_factory=dict)
    controls: Sequence[str] = ("random", "centre", "edges")
    random: str | None = "random"
    clusters: Sequence[str] | None = None

    @property
    def measured(self) -> int:
        """The number n of images behind the values."""
        return next((len(values) for metrics in self.values.values() for values in metrics.values()), 0)

    @property
    def metrics(self) -> list[str]:
        """Of any method, in the order of their first appearance."""
        return list(dict.fromkeys(metric for metrics in self.values.values() for metric in metrics))

    @property
    def methods(self) -> list[str]:
        """All but the controls first, then these."""
        named = dict.fromkeys([*self.values, *self.curves, *(method for image in self.images for method in image.maps)])
        return sorted(named, key=lambda method: method in self.controls)

    @property
    def cluster_of(self) -> np.ndarray:
        """[n]: the cluster of each measured image; its own number if it stands alone."""
        return np.arange(self.measured) if self.clusters is None else np.asarray(self.clusters, dtype=str)


def check(runs: Mapping[str, Explanations]) -> None:
    """Refuses data that cannot be drawn.

    Raises:
      UserError: there is no run; numbers of images disagree; or two runs do not explain the same images.
    """
    if not runs:
        raise UserError("no run to draw explanations of: give at least one")
    first_name, first = next(iter(runs.items()))
    for name, run in runs.items():
        _check_run(name, run)
        if _identity(run) != _identity(first):
            raise UserError(
                f"the runs {first_name!r} and {name!r} explain different images: explain the same images in the same "
                "order with both, or draw a page of each"
            )


def is_labelled(run: Explanations) -> bool:
    """Whether any of its images has a label."""
    return any(image.label is not None for image in run.images)


def _check_run(name: str, run: Explanations) -> None:
    n = run.measured
    lengths = {
        **{f"{metric} of {method}": len(v) for method, values in run.values.items() for metric, v in values.items()},
        **{
            f"{which} of {method}": len(values)
            for method, curves in run.curves.items()
            for which, values in curves.measured.items()
        },
        **({} if run.clusters is None else {"the clusters": len(run.clusters)}),
    }
    for what, length in lengths.items():
        if length != n:
            raise UserError(f"{what} in the run {name!r} are of {length} images, but the first values of {n}")
    for method, curves in run.curves.items():
        points = len(curves.fractions)
        if any(values.shape[1] != points for values in curves.measured.values()):
            raise UserError(
                f"the curves of {method} in the run {name!r} do not have a point at each of {points} fractions"
            )
    for image in run.images:
        if not 0 <= image.place < n:
            raise UserError(
                f"the image {image.name!r} of the run {name!r} has the place {image.place}, but {n} images were "
                f"measured: its place must lie in 0 .. {n - 1}"
            )
    if not 0 < run.settings.shown_fraction < 1:
        raise UserError(f"shown_fraction {run.settings.shown_fraction} must lie between 0 and 1; 0.2 is the default")


def _identity(run: Explanations) -> tuple[object, ...]:
    """What runs must share to stand side by side. That images without a card are the same is on the caller."""
    clusters = None if run.clusters is None else tuple(run.clusters)
    images = tuple((image.place, image.name, image.domain, image.label, image.image.tobytes()) for image in run.images)
    return run.measured, clusters, images
