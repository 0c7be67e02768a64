"""Curves of everything that metrics.jsonl holds, as small SVG panels that follow the page's colours."""

import hashlib
import io
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Literal, NamedTuple

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.axes import Axes
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from align_jax.reporting import names
from align_jax.reporting.columns import NOT_MEASURED
from align_jax.runs.read_metrics import Line, Metrics
from align_jax.tables.table import MISSING

MOST_POINTS = 400
# No float32 is larger; the ends of an axis must be finite too.
MOST_DRAWN = 1e300
SERIES_COLOURS = 8

# matplotlib draws with these; in the SVG each becomes a variable of the page's style sheet, so that one
# drawing serves the light and the dark page.
PAGE_COLOURS = {
    "#fe0001": "var(--muted)",
    "#fe0002": "var(--line)",
    **{f"#fe001{i}": f"var(--series-{i})" for i in range(SERIES_COLOURS)},
}
TEXT, LINE = "#fe0001", "#fe0002"

# The series colours of roles, in this order; those of other roles follow.
ROLE_COLOURS = tuple(map(names.role_title, ("id", "background_shift", "ood", "validation")))


class Series(NamedTuple):
    """A line of a panel; `colour` counts the page's series colours."""

    name: str
    colour: int
    steps: Float[np.ndarray, " points"]
    values: Float[np.ndarray, " points"]

    @property
    def last(self) -> str:
        """The last finite value, as it is written beside the name."""
        finite = self.values[np.isfinite(self.values)]
        return _tick(float(finite[-1]), "#") if len(finite) else MISSING


class Panel(NamedTuple):
    """One drawing: `svg` has no words but numbers, so that no text of a run gets into markup."""

    title: str
    description: str
    series: Sequence[Series]
    svg: Markup


class Section(NamedTuple):
    title: str
    panels: Sequence[Panel]


def training_sections(runs: Mapping[str, Metrics], best_step: int | None = None) -> list[Section]:
    """The training lines by the names of methods: one panel a key, one section a prefix (`masker/`, or none)."""
    lines = {name: metrics.training for name, metrics in runs.items()}
    keys = _numeric_keys(itertools.chain(*lines.values()))
    sections = []
    # Seconds so far only rise; their table shows where they went.
    for prefix in sorted(
        {key.rpartition("/")[0] for key in keys} - {"seconds"}, key=lambda prefix: (prefix == "", prefix)
    ):
        of_prefix = [key for key in keys if key.rpartition("/")[0] == prefix]
        panels = _panels([(names.series_title(key), _series(lines, key)) for key in of_prefix], runs, best_step)
        sections.append(Section(f"{prefix.capitalize()}, training" if prefix else "Speed and schedule", panels))
    return [section for section in sections if section.panels]


def evaluation_section(metrics: Metrics, best_step: int | None = None) -> Section:
    """One panel a metric, one line a role: the mean over the role's domains at every evaluation."""
    lines = {
        names.role_title(role): [line for line in metrics.evaluations if line.role == role]
        for role in names.in_role_order([line.role for line in metrics.evaluations])
    }
    series = [(names.series_title(key), _series(lines, key, ROLE_COLOURS)) for key in _evaluation_keys([metrics])]
    return Section("Evaluation during training", _panels(series, {"": metrics}, best_step))


def compared_evaluation_sections(runs: Mapping[str, Metrics]) -> list[Section]:
    """One section a metric, one panel a role, one line a method."""
    roles = names.in_role_order([line.role for metrics in runs.values() for line in metrics.evaluations])
    lines = {
        role: {name: [line for line in run.evaluations if line.role == role] for name, run in runs.items()}
        for role in roles
    }
    sections = []
    for key in _evaluation_keys(list(runs.values())):
        panels = _panels([(names.role_title(role), _series(lines[role], key)) for role in roles], runs)
        sections.append(Section(f"{names.series_title(key)} during training", panels))
    return [section for section in sections if section.panels]


def warmup_end(metrics: Metrics) -> float | None:
    """The last logged step of the warm-up, where rounds followed it."""
    warmup = [line.step for line in metrics.training if line.phase == "warmup"]
    rounds = [line.step for line in metrics.training if line.phase == "rounds"]
    return max(warmup) if warmup and rounds else None


def thinned(
    steps: Float[np.ndarray, " points"], values: Float[np.ndarray, " points"], at_most: int = MOST_POINTS
) -> tuple[Float[np.ndarray, " fewer"], Float[np.ndarray, " fewer"]]:
    """Means of equal groups of neighbouring points where there are more points than can be told apart.

    A group with a non-finite value stays non-finite: divergence must be seen.
    """
    group = math.ceil(len(steps) / at_most)
    if group <= 1:
        return steps, values
    starts = np.arange(0, len(steps), group)
    count = np.diff(np.append(starts, len(steps)))
    return np.add.reduceat(steps, starts) / count, np.add.reduceat(values, starts) / count


def _panels(
    titled: Iterable[tuple[str, Sequence[Series]]], runs: Mapping[str, Metrics], best_step: int | None = None
) -> list[Panel]:
    """A drawing for each title with a finite value."""
    ends = {end for metrics in runs.values() if (end := warmup_end(metrics)) is not None}
    steps = [line.step for metrics in runs.values() for line in (*metrics.training, *metrics.evaluations)]
    return [
        Panel(
            title,
            f"{title} by step. " + " ".join(map(_described, series)),
            series,
            _drawn(series, max(steps), sorted(ends), best_step),
        )
        for title, series in titled
        if any(np.isfinite(line.values).any() for line in series)
    ]


def _drawn(series: Sequence[Series], last_step: float, warmup_ends: Sequence[float], best_step: int | None) -> Markup:
    figure, axes = page_axes((3.6, 2.0), (0.15, 0.13, 0.83, 0.83))
    for end in warmup_ends:
        axes.axvline(end, color=TEXT, linewidth=0.9, linestyle=(0, (1, 2)))
    if best_step is not None:
        axes.axvline(best_step, color=TEXT, linewidth=0.9)
    for line in series:
        steps, values = thinned(line.steps, line.values)
        axes.plot(
            steps,
            np.where(np.abs(values) < MOST_DRAWN, values, np.nan),
            color=f"#fe001{line.colour}",
            linewidth=1.6,
            marker="o" if len(steps) <= 15 else None,
            markersize=2.8,
        )
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.margins(y=0.08)
    # One range for every panel, so that the eye can go from one to the next.
    axes.set_xlim(0, 1.02 * max(last_step, 1))
    return page_svg(figure)


def page_axes(size: tuple[float, float], place: tuple[float, float, float, float]) -> tuple[Figure, Axes]:
    """A figure for a page, without a ground of its own, and its axes with a line below and a grid.

    Args:
      size: width and height in inches.
      place: of the axes in the figure. Fixed margins keep the axes of neighbouring panels in line, and no layout has
        to be solved.
    """
    figure = Figure(figsize=size)
    FigureCanvasSVG(figure)
    axes = figure.add_axes(place)
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, length=0, labelsize=9)
    return figure, axes


def page_svg(figure: Figure) -> Markup:
    """The figure as an SVG element that takes the page's font, width and colours."""
    stream = io.StringIO()
    # Text stays text (the page's font, selectable), and equal runs give equal bytes.
    with matplotlib.rc_context({"svg.fonttype": "none", "svg.hashsalt": "align-jax"}):
        figure.savefig(stream, format="svg", transparent=True, metadata={"Date": None, "Creator": None})
    svg = stream.getvalue()
    svg = svg[svg.index("<svg") :]
    # Many drawings share a page, and identifiers hold for the whole page.
    own = hashlib.sha256(svg.encode()).hexdigest()[:8]
    svg = re.sub(r'(\bid="|href="#|url\(#)', rf"\g<1>{own}-", svg)
    for drawn, variable in PAGE_COLOURS.items():
        svg = svg.replace(drawn, variable)
    return Markup(svg)


def _series(lines: Mapping[str, Iterable[Line]], key: str, colours: Sequence[str] = ()) -> list[Series]:
    """For each name that has the key, its mean over the lines of each step. Names in `colours` are coloured first."""
    order = list(dict.fromkeys((*colours, *lines)))
    series = []
    for name, of_name in lines.items():
        by_step: dict[float, list[float]] = {}
        for line in of_name:
            if key in line.values:
                by_step.setdefault(line.step, []).append(line.values[key])
        if by_step:
            means = np.array([(step, np.mean(by_step[step])) for step in sorted(by_step)], dtype=np.float64)
            series.append(Series(name, order.index(name) % SERIES_COLOURS, *means.T))
    return series


def _evaluation_keys(runs: Sequence[Metrics]) -> list[str]:
    keys = _numeric_keys(line for metrics in runs for line in metrics.evaluations)
    first = ["accuracy", "auc", "mask_iou", "cam_energy", "loss"]
    return [k for k in first if k in keys] + [k for k in keys if k not in first and k not in NOT_MEASURED]


def _numeric_keys(lines: Iterable[Line]) -> list[str]:
    """Distinct keys of numbers, in the order of their first appearance."""
    return list(dict.fromkeys(key for line in lines for key in line.values))


def _described(line: Series) -> str:
    finite = line.values[np.isfinite(line.values)]
    if not len(finite):
        return f"{line.name}: no finite value."
    return f"{line.name}: from {_tick(float(finite[0]))} to {line.last}.".strip(": ")


def _tick(value: float, trailing_zeros: Literal["#", ""] = "") -> str:
    """Three significant digits, without exponents where they only get in the way."""
    if abs(value) >= 1000 or 0 < abs(value) < 1e-3:
        return f"{value:.0f}" if 1000 <= abs(value) < 1e5 else f"{value:.1e}".replace("e-0", "e-").replace("e+0", "e")
    return f"{value:{trailing_zeros}.3g}".rstrip(".")
