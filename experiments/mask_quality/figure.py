"""The figure of `launch/mask_quality.py`: scores of guidance by masks of each quality, against the masks' IoU."""

import io
from collections.abc import Sequence
from typing import Any

import matplotlib
import numpy as np
from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure
from matplotlib.layout_engine import ConstrainedLayoutEngine
from matplotlib.lines import Line2D
from matplotlib.ticker import MaxNLocator

from experiments.mask_quality.tables import LEARNED, UNGUIDED, Measured, mean_and_error

PANELS = {
    "accuracy_id": "Accuracy in distribution, %",
    "accuracy_background_shift": "Accuracy under background shift, %",
    "accuracy_conflicting": "Accuracy on conflicting backgrounds, %",
    "gap_id": "Gap between aligned and conflicting, points",
    "accuracy_ood": "Accuracy on the held-out vendor, %",
    "cam_energy_ood": "Grad-CAM energy, held-out vendor, %",
}

# Okabe and Ito's colours, for colour-blind readers; the marks differ in shape as well.
GUIDED_COLOUR, LEARNED_COLOUR = "#0072b2", "#d55e00"
UNGUIDED_STYLES: dict[str, dict[str, Any]] = {
    "dre": {"color": "#cc79a7", "linestyle": (0, (1, 1.5))},
    "erm": {"color": "#009e73", "linestyle": (0, (5, 2))},
}
TEXT, LINE = "#3b404a", "#dcdee3"
# In inches; at 100 pixels per inch the figure is 900 pixels wide.
WIDTH, ROW = 9.0, 3.5
# In units of IoU: names that are closer would overlap.
CLOSEST_NAMES = 0.06


def draw(measured: Sequence[Measured], method: str = "ALIGN") -> Figure:
    """One panel per measured score: a mark per seed, a line through the means, a band per method without masks.

    Args:
      measured: every run's row.
      method: the title of the method that the masks guide.
    """
    panels = [name for name in PANELS if any(name in run.scores for run in measured)]
    rows = max((len(panels) + 1) // 2, 1)
    engine = ConstrainedLayoutEngine(w_pad=0.08, h_pad=0.08, wspace=0.04)
    figure = Figure(figsize=(WIDTH, ROW * rows), layout=engine)
    FigureCanvasAgg(figure)
    for number, name in enumerate(panels):
        axes = figure.add_subplot(rows, 2, number + 1)
        _draw_panel(axes, measured, name)
        if number // 2 == rows - 1:
            axes.set_xlabel("IoU of the masks that guide with the true masks", color=TEXT, fontsize=10)
    figure.legend(
        handles=_legend(method), loc="outside upper center", ncols=3, frameon=False, fontsize=9.5, labelcolor=TEXT
    )
    return figure


def svg(figure: Figure) -> bytes:
    """As SVG; equal figures give equal bytes."""
    with matplotlib.rc_context({"svg.hashsalt": "align-jax"}):
        return _saved(figure, "svg", metadata={"Date": None, "Creator": None})


def png(figure: Figure) -> bytes:
    """As PNG, 1800 pixels wide, to be sharp when shown at 900."""
    return _saved(figure, "png", dpi=200, metadata={"Software": None})


def _saved(figure: Figure, kind: str, **settings: Any) -> bytes:
    stream = io.BytesIO()
    figure.savefig(stream, format=kind, **settings)
    return stream.getvalue()


def _legend(method: str) -> list[Artist]:
    """One legend above the panels: inside them it would hide marks."""
    return [
        Line2D([], [], color=GUIDED_COLOUR, marker="o", markersize=4, label="true masks made worse"),
        Line2D([], [], color=LEARNED_COLOUR, marker="D", markersize=7, linestyle="", label=f"{method}, learned masks"),
        *(
            Line2D([], [], **UNGUIDED_STYLES[name], label=f"{name.upper()}: no masks, ± standard error")
            for name in UNGUIDED
        ),
        Line2D([], [], color=TEXT, marker="o", markersize=5, fillstyle="none", linestyle="", label="one seed"),
    ]


def _draw_panel(axes: Axes, measured: Sequence[Measured], name: str) -> None:
    for condition in UNGUIDED:
        unguided = [100 * run.scores[name] for run in measured if run.condition == condition and name in run.scores]
        if unguided:
            style = UNGUIDED_STYLES[condition]
            mean, error = mean_and_error(unguided)
            low, high = mean - np.nan_to_num(error), mean + np.nan_to_num(error)
            axes.axhspan(low, high, color=style["color"], alpha=0.2, lw=0)
            axes.axhline(mean, linewidth=1.4, **style)
    by_quality: dict[str, tuple[float, list[float]]] = {}
    for run in measured:
        if run.condition not in (LEARNED, *UNGUIDED) and name in run.scores and run.mask_iou is not None:
            by_quality.setdefault(run.condition, (run.mask_iou, []))[1].append(100 * run.scores[name])
    in_order = sorted(by_quality.items(), key=lambda item: item[1][0])
    ious = [iou for _, (iou, _) in in_order]
    for _, (iou, values) in in_order:
        axes.plot([iou] * len(values), values, "o", color=GUIDED_COLOUR, markersize=5, fillstyle="none", alpha=0.8)
    means = [float(np.mean(values)) for _, (_, values) in in_order]
    axes.plot(ious, means, "o-", color=GUIDED_COLOUR, linewidth=1.6, markersize=3)
    # Each seed learns its own masks.
    learned = [
        (run.mask_iou, 100 * run.scores[name])
        for run in measured
        if run.condition == LEARNED and run.mask_iou is not None and name in run.scores
    ]
    if learned:
        x, y = zip(*learned, strict=True)
        axes.plot(x, y, "D", color=LEARNED_COLOUR, markersize=5, fillstyle="none")
        axes.plot([np.mean(x)], [np.mean(y)], "D", color=LEARNED_COLOUR, markersize=7)
    _name_qualities(axes, [quality for quality, _ in in_order], ious)
    axes.set_title(PANELS[name], color=TEXT, fontsize=10.5, loc="left", fontweight="bold")
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, length=0, labelsize=9)
    axes.yaxis.set_major_locator(MaxNLocator(5))
    axes.set_xlim(-0.05, 1.05)
    axes.margins(y=0.12)


def _name_qualities(axes: Axes, names: Sequence[str], ious: Sequence[float]) -> None:
    """Each quality's name above its IoU, in rising order, moved aside where two names would overlap."""
    places: list[float] = []
    for iou in ious:
        places.append(max(iou, places[-1] + CLOSEST_NAMES) if places else iou)
    above = axes.secondary_xaxis("top")
    above.set_xticks(places, names, rotation=35, ha="left", rotation_mode="anchor")
    above.tick_params(colors=GUIDED_COLOUR, length=0, labelsize=9, pad=1)
    above.spines["top"].set_visible(False)
