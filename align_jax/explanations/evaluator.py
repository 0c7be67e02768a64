"""Several methods and several metrics at once, in one compiled program.

    score = explanations.evaluator(
        apply, methods={"Grad-CAM": grad_cam}, metrics=("comprehensiveness", "insertion_auc"), fill="image_mean")
    values = score(variables, {"image": image, "key": key})       # {method: {metric: [b]}}
    total = explanations.mean(values["Grad-CAM"]["insertion_auc"])
    shown = score.examined(variables, {"image": image, "key": key})  # the maps and the curves behind them, too

`metrics` has the metrics by name.
"""

import dataclasses
from collections.abc import Callable, Collection, Mapping
from functools import cached_property
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Array, Float, Key

from align_jax.explanations import localisation
from align_jax.explanations.controls import centre_map, edge_map, random_map
from align_jax.explanations.curves import ERASER, Alterations, Curves, in_steps, perturb_all
from align_jax.explanations.keys import keys_of
from align_jax.explanations.metrics import AGAINST_A_MASK, CURVES, DRAWING, METRICS, MapForward, Settings
from align_jax.fills import Fill, filled
from align_jax.preprocessing import Preprocessing
from align_jax.saliency.targets import Classes, Target, class_outputs, fixed

Variables = Any
Batch = Mapping[str, Array]
Method = Callable[[Variables, Float[Array, "b h w c"], Classes], Float[Array, "b h w"]]
Values = dict[str, dict[str, Float[Array, " b"]]]

CONTROLS = ("random", "centre", "edges")


def evaluator(
    apply: Callable[[Variables, Float[Array, "b h w c"]], Float[Array, "b k"]],
    *,
    methods: Mapping[str, Method],
    metrics: Collection[str] = tuple(CURVES),
    fill: Fill,
    insertion_fill: Fill = "blur",
    fractions: tuple[float, ...] = ERASER,
    steps: int = 20,
    target: Target | Literal["label"] = "predicted",
    controls: Collection[str] = CONTROLS,
    preprocessing: Preprocessing | None = None,
    probabilities: Callable[[Float[Array, "b k"]], Float[Array, "b k"]] = jax.nn.softmax,
) -> "Score":
    """A compiled function from (variables, batch) to every metric of every method, image by image.

    The variables are its arguments: another checkpoint compiles nothing anew. All methods' curves are made in one loop,
    so that the program does not grow with them. Soft metrics, average drop, ADCC and ROAD run passes of each method.

    Args:
      apply: (variables, image) -> logits, each image on its own.
      methods: by name, (variables, image, classes) -> maps [b h w] in [0, 1], at the images' resolution.
      metrics: names of `METRICS`.
      fill, insertion_fill, fractions, steps, preprocessing: see `Settings`.
      target: what is explained: "predicted", a class, "label" (the batch's `label`), or a function of the outputs, on
        whose values the metrics are then.
      controls: which of `CONTROLS` stand beside the methods.
      probabilities: from the outputs; the sigmoid for a model of several labels.

    Returns:
      `score(variables, batch)`, see `Score`. The batch has `image` [b h w c]; `label` [b], if that is the target;
      `mask` [b h w], boolean or in [0, 1], for metrics against a mask; and `key`, for the random map and for metrics
      that draw: a new one for each batch, or, so that nothing depends on the batch, one for each image. The values are
      float32, and NaN where a metric does not apply.

    Raises:
      ValueError: an unknown metric or control, two methods of one name, or a batch without what a metric needs.
    """
    _check_names("metric", metrics, METRICS)
    _check_names("control", controls, CONTROLS)
    if both := set(methods) & set(controls):
        raise ValueError(f"the methods {sorted(both)} have the names of controls: rename them, or leave controls=()")
    if not methods and not controls:
        raise ValueError("no methods and no controls were given: give at least one")
    settings = Settings(fill, insertion_fill, fractions, steps, preprocessing)
    return Score(apply, methods, tuple(metrics), tuple(controls), target, probabilities, settings)


class Examined(NamedTuple):
    """What `Score.examined` finds out about a batch.

    Attributes:
      values: by method and metric, as `Score` has them.
      maps: by method, controls included.
      curves: by method: with the fill, at the fractions that the metrics need.
      insertion: by method: with the fill of insertion; likewise.
      probabilities: of the images as they are; the outputs, if the target is a function.
      filled: of what becomes a removed pixel, as the model sees it.
    """

    values: Values
    maps: dict[str, Float[Array, "b h w"]]
    curves: dict[str, Curves]
    insertion: dict[str, Curves]
    probabilities: Float[Array, "b ..."]
    filled: Float[Array, "b h w c"]


@dataclasses.dataclass(frozen=True, eq=False)
class Score:
    """A compiled function from (variables, batch) to `{method: {metric: values [b]}}`; `evaluator` makes it.

    Attributes: as the arguments of `evaluator`.
    """

    apply: Callable[[Variables, Array], Array]
    methods: Mapping[str, Method]
    metrics: tuple[str, ...]
    controls: tuple[str, ...]
    target: Target | Literal["label"]
    probabilities: Callable[[Array], Array]
    settings: Settings

    def __call__(self, variables: Variables, batch: Batch) -> Values:
        """Every metric of every method and control, image by image."""
        _check_values(self, batch)
        return self._values(variables, batch)

    def examined(self, variables: Variables, batch: Batch) -> Examined:
        """The same, with the maps and curves that the values come from; compiled apart, when it is first called."""
        _check_values(self, batch)
        return self._examined(variables, batch)

    @cached_property
    def _values(self) -> Callable[[Variables, Batch], Values]:
        return jax.jit(lambda variables, batch: _examine(self, variables, batch).values)

    @cached_property
    def _examined(self) -> Callable[[Variables, Batch], Examined]:
        return jax.jit(lambda variables, batch: _examine(self, variables, batch))


def _examine(wanted: Score, variables: Variables, batch: Batch) -> Examined:
    image = _part(batch, "image", "what is explained")
    masked = [name for name in wanted.metrics if name in AGAINST_A_MASK]
    true_mask = _part(batch, "mask", ", ".join(masked)) if masked else None
    target: Any = wanted.target
    if isinstance(target, str) and target == "label":
        target = _part(batch, "label", 'target="label"')

    def probabilities_of(image: Float[Array, "b h w c"]) -> Float[Array, "b ..."]:
        outputs = wanted.apply(variables, image)
        # A function explains the outputs, and is scored on them.
        return outputs if callable(target) else wanted.probabilities(class_outputs(outputs).astype(jnp.float32))

    clean = probabilities_of(image)
    classes = fixed(target, image.shape[0], lambda: clean)
    drawing = [name for name in ("random", *DRAWING) if name in (*wanted.controls, *wanted.metrics)]
    key = keys_of(_part(batch, "key", " and ".join(drawing)), image.shape[0]) if drawing else None
    explain = {name: _at_classes(method, variables, classes) for name, method in wanted.methods.items()}
    explain |= {name: _control(name, key) for name in wanted.controls}
    maps = {name: function(image) for name, function in explain.items()}
    settings, preprocessing = wanted.settings, wanted.settings.preprocessing
    alterations = _alterations(wanted.metrics, settings)
    both = perturb_all(probabilities_of, image, maps, classes, alterations, preprocessing=preprocessing, clean=clean)
    curves, insertion = ({name: pair[place] for name, pair in both.items()} for place in (0, 1))
    values: Values = {}
    for name, function in explain.items():
        of = MapForward(
            probabilities_of, clean, function, image, maps[name], classes, true_mask, key,
            curves[name], insertion[name], settings,
        )  # fmt: skip
        values[name] = {metric: METRICS[metric](of) for metric in wanted.metrics}
    return Examined(values, maps, curves, insertion, clean, filled(image, settings.fill, preprocessing))


def _check_values(wanted: Score, batch: Batch) -> None:
    """Refuses masks outside [0, 1]; inside of `jax.jit`, where values are unknown, they are on the caller."""
    mask = batch.get("mask")
    if mask is None or isinstance(mask, jax.core.Tracer) or not set(wanted.metrics) & set(AGAINST_A_MASK):
        return
    # Of a batch that is spread over hosts no single one sees all values.
    if not isinstance(mask, jax.Array) or mask.is_fully_addressable:
        localisation.check_in_unit_interval(mask)


def _part(batch: Batch, name: str, needed_by: str) -> Array:
    if name not in batch:
        raise ValueError(f"the batch has no {name!r}, which {needed_by} needs: it has {', '.join(batch) or 'nothing'}")
    return batch[name]


def _check_names(what: str, given: Collection[str], known: Collection[str]) -> None:
    if isinstance(given, str) or (unknown := [name for name in given if name not in known]):
        wrong = given if isinstance(given, str) else ", ".join(unknown)
        raise ValueError(f"unknown {what} {wrong!r}: give a tuple of names among {', '.join(known)}")


def _alterations(metrics: Collection[str], settings: Settings) -> tuple[Alterations, Alterations]:
    """What the metrics' curves need, with the fill and with that of insertion."""
    bins, steps = settings.fractions, in_steps(settings.steps)
    remove = (bins if "comprehensiveness" in metrics else ()) + (steps if "deletion_auc" in metrics else ())
    keep = bins if "sufficiency" in metrics else ()
    insert = steps if "insertion_auc" in metrics else ()
    return Alterations(settings.fill, remove, keep), Alterations(settings.insertion_fill, (), insert)


def _at_classes(
    method: Method, variables: Variables, classes: Classes
) -> Callable[[Float[Array, "b h w c"]], Float[Array, "b h w"]]:
    return lambda image: method(variables, image, classes)


def _control(name: str, key: Key[Array, " b"] | None) -> Callable[[Float[Array, "b h w c"]], Float[Array, "b h w"]]:
    """Of the image's shape, or of its edges."""
    if name == "random":
        assert key is not None  # `_examine` has looked
        return lambda image: random_map(key, image[..., 0].shape)
    return edge_map if name == "edges" else lambda image: centre_map(image[..., 0].shape)
