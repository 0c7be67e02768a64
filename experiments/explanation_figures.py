"""The pictures and the table of explanations in the documentation, of a trained run and its own tests.

    python -m experiments.explanation_figures runs/quickstart/align --to=docs/explanations

It writes sheet.jpg (images by methods), curves.png (deletion and insertion) and randomisation.png (does a map change
when the classifier forgets?), and prints a table of methods by metrics, with intervals.
"""

import argparse
import dataclasses
import io
import pathlib
import sys
from collections.abc import Mapping, Sequence
from typing import Any

from align_jax.runtime.interruption import begin

if __name__ == "__main__":
    begin()  # before the imports that take seconds

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Array, Float
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from PIL import Image

from align_jax import explanations, saliency
from align_jax.cli.exit_status import exit_status
from align_jax.configuration import default_config
from align_jax.data.normalise import normalise
from align_jax.errors import UserError, one_line
from align_jax.evaluation.bootstrap import clustered_interval
from align_jax.evaluation.explained_methods import cut_of
from align_jax.inference.explain_methods import explained
from align_jax.inference.images_to_explain import images_of_tests
from align_jax.reporting.columns import explanation_metric
from align_jax.reporting.explanations_page import ExplainedImage, Explanations
from align_jax.reporting.explanations_page.value_tables import value_table
from align_jax.reporting.method_titles import method_title
from align_jax.reporting.names import role_title
from align_jax.runs.trained import TrainedRun, load_trained
from align_jax.runtime.files import write_atomically
from align_jax.runtime.paths import local_path
from align_jax.tables.markdown import markdown

METHODS = (
    *("grad_cam", "layer_cam", "score_cam", "gradient"),
    *("smooth_grad", "guided_backpropagation", "integrated_gradients", "occlusion"),
)
METRICS = ("comprehensiveness", "sufficiency", "deletion_auc", "insertion_auc", "energy_inside")
ROWS = 4
# Images whose maps are compared while the classifier forgets: one batch.
AT_ONCE = 32
RESAMPLES = 2000
# Of the weights that take the place of the trained ones.
FRESH = 1
# Okabe and Ito's colours, for colour-blind readers; the dashes differ as well.
COLOURS = ("#0072b2", "#d55e00", "#009e73", "#cc79a7", "#56b4e9", "#e69f00", "#000000", "#8c6d31")
DASHES: tuple[Any, ...] = ("-", (0, (5, 2)), (0, (1, 1.5)), (0, (5, 1, 1, 1)))
TEXT, LINE, BAND = "#3b404a", "#dcdee3", "#9aa0ab"


def write_figures(trained: TrainedRun, out: pathlib.Path, *, images: int, methods: Sequence[str] = METHODS) -> str:
    """Writes the pictures, of at most `images` images of each test, and returns the table as Markdown."""
    settings = default_config().explain
    settings.methods, settings.metrics, settings.steps = tuple(methods), METRICS, 10
    tests = images_of_tests(trained, images)
    found = explained(trained, settings, tests, range(tests.count), [])
    metrics = [explanation_metric(name, explanations.HIGHER_IS_BETTER.get(name)) for name in METRICS]
    table = value_table({trained.folder.name: found}, metrics, RESAMPLES)
    chosen = _in_turns(found.images)
    shown = [method for method in found.methods if method not in ("Centre", "Edges", "Learned mask")]
    picture = saliency.sheet(
        jnp.asarray([image.image for image in chosen]),
        {method: jnp.asarray([image.maps[method] for image in chosen]) for method in shown},
        names=[image.label or "" for image in chosen],
    )
    write_atomically(out / "sheet.jpg", _as_jpeg(picture))
    write_atomically(out / "curves.png", _png(draw_curves(found)))
    some = found.images[:: max(1, len(found.images) // AT_ONCE)][:AT_ONCE]
    spoilt = randomisation(trained, np.stack([image.image for image in some]), methods)
    write_atomically(out / "randomisation.png", _png(draw_randomisation(spoilt)))
    return markdown(table)


def randomisation(
    trained: TrainedRun, images: Any, methods: Sequence[str]
) -> dict[str, dict[str, Float[np.ndarray, " n"]]]:
    """By method and layer: the rank correlation with the trained classifier's map, see `explanations.randomised`."""
    classifier, state = trained.networks[0], trained.states[0]
    image = normalise(jnp.asarray(images))
    params, batch_stats = classifier.init(jax.random.key(FRESH), image[:1])
    variables, fresh = (
        {"params": state.params, "batch_stats": state.batch_stats},
        {"params": params, "batch_stats": batch_stats},
    )
    classes = jnp.argmax(classifier.logits(state.params, state.batch_stats, image), axis=-1)

    def of_method(name: str) -> dict[str, Float[np.ndarray, " n"]]:
        @jax.jit
        def maps(variables: Mapping[str, Any], image: Array, classes: Array) -> Float[Array, "b h w"]:
            cut = cut_of(classifier, dataclasses.replace(state, **variables))
            return saliency.METHODS[name](cut, image, classes)

        def explain(variables: Mapping[str, Any]) -> Float[Array, "b h w"]:
            return maps(variables, image, classes)  # as arguments: constants would be folded, which takes XLA long

        found = explanations.randomised(explain, variables, fresh, from_the_logits(state.params))
        return {layer: np.asarray(values) for layer, values in found.items()}

    return {method_title(name): of_method(name) for name in methods}


def from_the_logits(params: Mapping[str, Any]) -> list[str]:
    """The layers of one of the library's ResNets, the last one first; its first convolution has one BatchNorm."""
    blocks = sorted(name for name in params if name.startswith("layer"))
    return ["fc", *reversed(blocks), "bn1", "conv1"]


def draw_curves(found: Explanations) -> Figure:
    """The mean probability while pixels are removed, and put back; a band for the interval of the random map's mean."""
    figure = _figure(9.0, 3.9)
    methods = [method for method in found.methods if method not in ("Centre", "Edges")]
    for number, (title, which) in enumerate((("Deletion", "deletion"), ("Insertion", "insertion")), start=1):
        axes = figure.add_subplot(1, 2, number)
        _style(axes, title, "most important pixels, %", "probability of the predicted class" if number == 1 else "")
        percent = 100 * np.asarray(found.curves[methods[0]].fractions)
        random: Float[np.ndarray, "n k"] = getattr(found.curves["Random"], which)
        low, high = np.array(
            [clustered_interval(points, found.cluster_of, resamples=RESAMPLES) for points in random.T]
        ).T
        axes.fill_between(percent, low, high, color=BAND, alpha=0.35, linewidth=0)
        for place, method in enumerate(methods):
            points = np.nanmean(getattr(found.curves[method], which), axis=0)
            axes.plot(percent, points, label=method, **_line(place, method))
        axes.set_ylim(0, 1)
    _legend(figure)
    return figure


def draw_randomisation(spoilt: Mapping[str, Mapping[str, Float[np.ndarray, " n"]]]) -> Figure:
    """The mean correlation after each layer; where a map orders no pixels, there is no point."""
    figure = _figure(9.0, 3.9)
    axes = figure.add_subplot(1, 1, 1)
    _style(axes, "", "random down to this layer, beginning with the logits'", "rank correlation with the trained map")
    layers = list(next(iter(spoilt.values())))
    for place, (method, of_layer) in enumerate(spoilt.items()):
        means = [np.nan if np.isnan(values).all() else np.nanmean(values) for values in of_layer.values()]
        axes.plot(range(len(layers) + 1), [1.0, *means], label=method, marker="o", markersize=3, **_line(place, method))
    axes.set_xticks(range(len(layers) + 1), ["none", *layers])
    axes.axhline(0, color=LINE, linewidth=1)
    _legend(figure)
    return figure


def _in_turns(images: Sequence[ExplainedImage]) -> list[ExplainedImage]:
    """The first image of each class, if there is one in a domain that training did not see; maps are not looked at."""
    unseen = [image for image in images if image.domain.endswith(role_title("ood").lower())] or list(images)
    labels = list(dict.fromkeys(image.label for image in unseen))[:ROWS]
    return [next(image for image in unseen if image.label == label) for label in sorted(labels, key=str)]


def _line(place: int, method: str) -> dict[str, Any]:
    if method == "Random":
        return {"color": TEXT, "linestyle": (0, (1, 1)), "linewidth": 2}
    dashes = DASHES[(place + place // len(COLOURS)) % len(DASHES)]
    return {"color": COLOURS[place % len(COLOURS)], "linestyle": dashes, "linewidth": 1.6}


def _figure(width: float, height: float) -> Figure:
    figure = Figure(figsize=(width, height), layout="constrained")
    FigureCanvasAgg(figure)
    return figure


def _style(axes: Axes, title: str, x: str, y: str) -> None:
    axes.set_title(title, color=TEXT, fontsize=11, loc="left")
    axes.set_xlabel(x, color=TEXT, fontsize=10)
    axes.set_ylabel(y, color=TEXT, fontsize=10)
    axes.tick_params(colors=TEXT, labelsize=9)
    axes.grid(axis="y", color=LINE, linewidth=0.8)
    axes.spines[["top", "right"]].set_visible(False)


def _legend(figure: Figure) -> None:
    handles, labels = figure.axes[0].get_legend_handles_labels()
    figure.legend(handles, labels, loc="outside right center", frameon=False, fontsize=9, labelcolor=TEXT)


def _as_jpeg(picture: bytes) -> bytes:
    """The same picture, a quarter as large: noise is long as PNG."""
    stream = io.BytesIO()
    Image.open(io.BytesIO(picture)).convert("RGB").save(stream, format="JPEG", quality=85)
    return stream.getvalue()


def _png(figure: Figure) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format="png", dpi=100)
    return stream.getvalue()


def main() -> int:
    """Runs `python -m experiments.explanation_figures`; see the head of this file."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("run", metavar="RUN")
    parser.add_argument("--to", required=True, help="the folder to write to")
    parser.add_argument("--images", type=int, default=48, help="how many of each test, at most")
    arguments = parser.parse_args()

    def draw() -> None:
        if arguments.images < 1:
            raise UserError(f"--images is {arguments.images}; it must be at least 1.")
        out = local_path(arguments.to, "--to")
        trained = load_trained(local_path(arguments.run, "RUN"))
        print(write_figures(trained, out, images=arguments.images))
        print(one_line(f"Pictures: {out}"))

    return exit_status(
        draw, on_os_error="can RUN be read and --to be written?", on_interrupt="what was written is whole."
    )


if __name__ == "__main__":
    sys.exit(main())
