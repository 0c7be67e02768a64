"""Curves of everything that metrics.jsonl holds, as small SVG panels that follow the page's colours."""

import hashlib
import io
import itertools
import math
import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Literal

import matplotlib
import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.backends.backend_svg import FigureCanvasSVG
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, MaxNLocator

from align_jax.reporting import names
from align_jax.reporting.columns import NOT_MEASURED
from align_jax.runs.read import Line, Metrics
from align_jax.tables.table import MISSING

MOST_POINTS = 400
SERIES_COLOURS = 8

# matplotlib draws with these; in the SVG each becomes a variable of the page's style sheet, so that one
# drawing serves the light and the dark page.
PAGE_COLOURS = {
    "#fe0001": "var(--muted)",
    "#fe0002": "var(--line)",
    **{f"#fe001{i}": f"var(--series-{i})" for i in range(SERIES_COLOURS)},
}
TEXT, LINE = "#fe0001", "#fe0002"

ROLE_COLOURS = {"id": 0, "background_shift": 1, "ood": 2, "validation": 3}


@dataclass(frozen=True)
class Series:
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


@dataclass(frozen=True)
class Panel:
    """One drawing: `svg` has no words of its own but numbers, so that no text of a run gets into markup."""

    title: str
    description: str
    series: Sequence[Series]
    svg: Markup


@dataclass(frozen=True)
class Section:
    title: str
    panels: Sequence[Panel]


def training_sections(runs: Mapping[str, Metrics], best_step: int | None = None) -> list[Section]:
    """The training lines, one panel a key, one section a prefix (`classifier/`, `masker/`, none).

    Args:
      runs: by the names of their methods.
      best_step: the selected step of a single run.
    """
    lines = {name: metrics.training for name, metrics in runs.items()}
    keys = _numeric_keys(itertools.chain(*lines.values()))
    prefixes = sorted({key.rpartition("/")[0] for key in keys}, key=lambda prefix: (prefix == "", prefix))
    sections = []
    for prefix in prefixes:
        panels = [
            panel
            for key in keys
            if key.rpartition("/")[0] == prefix
            and (panel := _panel(names.series_title(key), _method_series(lines, key), runs, best_step)) is not None
        ]
        sections.append(Section(f"{prefix.capitalize()}, training" if prefix else "Speed and schedule", panels))
    return [section for section in sections if section.panels]


def evaluation_section(metrics: Metrics, best_step: int | None = None) -> Section:
    """One panel a metric, one line a role: the mean over the role's domains at every evaluation."""
    panels = []
    for key in _evaluation_keys([metrics]):
        series: list[Series] = []
        for role in names.in_role_order([line.role for line in metrics.evaluations]):
            steps, values = _role_curve(metrics, role, key)
            if len(steps):
                colour = ROLE_COLOURS.get(role, len(ROLE_COLOURS) + len(series)) % SERIES_COLOURS
                series.append(Series(names.role_title(role), colour, steps, values))
        panels.append(_panel(names.series_title(key), series, {"": metrics}, best_step))
    return Section("Evaluation during training", [panel for panel in panels if panel is not None])


def compared_evaluation_sections(runs: Mapping[str, Metrics]) -> list[Section]:
    """One section a metric, one panel a role, one line a method."""
    sections = []
    for key in _evaluation_keys(list(runs.values())):
        panels = []
        for role in names.in_role_order([line.role for metrics in runs.values() for line in metrics.evaluations]):
            series: list[Series] = []
            for colour, (name, metrics) in enumerate(runs.items()):
                steps, values = _role_curve(metrics, role, key)
                if len(steps):
                    series.append(Series(name, colour % SERIES_COLOURS, steps, values))
            panels.append(_panel(names.role_title(role), series, runs))
        sections.append(
            Section(f"{names.series_title(key)} during training", [panel for panel in panels if panel is not None])
        )
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


def _panel(
    title: str, series: Sequence[Series], runs: Mapping[str, Metrics], best_step: int | None = None
) -> Panel | None:
    if not any(np.isfinite(line.values).any() for line in series):
        return None
    ends = sorted({end for metrics in runs.values() if (end := warmup_end(metrics)) is not None})
    last_step = max(line.step for metrics in runs.values() for line in (*metrics.training, *metrics.evaluations))
    return Panel(
        title,
        f"{title} by step. " + " ".join(_described(line) for line in series),
        series,
        _drawn(series, last_step, ends, [] if best_step is None else [best_step]),
    )


def _drawn(
    series: Sequence[Series], last_step: float, warmup_ends: Sequence[float], best_steps: Sequence[int]
) -> Markup:
    figure = Figure(figsize=(3.6, 2.0))
    FigureCanvasSVG(figure)
    # Fixed margins, so that the axes of neighbouring panels are in line (and no layout has to be solved).
    axes = figure.add_axes((0.15, 0.13, 0.83, 0.83))
    figure.patch.set_visible(False)
    axes.patch.set_visible(False)
    for end in warmup_ends:
        axes.axvline(end, color=TEXT, linewidth=0.9, linestyle=(0, (1, 2)))
    for step in best_steps:
        axes.axvline(step, color=TEXT, linewidth=0.9)
    for line in series:
        steps, values = thinned(line.steps, line.values)
        axes.plot(
            steps,
            np.where(np.isfinite(values), values, np.nan),
            color=f"#fe001{line.colour}",
            linewidth=1.6,
            marker="o" if len(steps) <= 15 else None,
            markersize=2.8,
        )
    axes.spines[["top", "right", "left"]].set_visible(False)
    axes.spines["bottom"].set_color(LINE)
    axes.grid(axis="y", color=LINE, linewidth=0.7)
    axes.set_axisbelow(True)
    axes.tick_params(colors=TEXT, length=0, labelsize=9)
    axes.xaxis.set_major_locator(MaxNLocator(5, integer=True))
    axes.yaxis.set_major_locator(MaxNLocator(4))
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: _tick(value)))
    axes.margins(y=0.08)
    # One range for every panel, so that the eye can go from one to the next.
    axes.set_xlim(0, 1.02 * max(last_step, 1))
    return _page_svg(figure)


def _page_svg(figure: Figure) -> Markup:
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


def _method_series(lines: Mapping[str, Sequence[Line]], key: str) -> list[Series]:
    series = []
    for colour, (name, of_method) in enumerate(lines.items()):
        points = [(line.step, line.values[key]) for line in of_method if key in line.values]
        if points:
            steps, values = np.array(points, dtype=np.float64).T
            series.append(Series(name, colour % SERIES_COLOURS, steps, values))
    return series


def _role_curve(
    metrics: Metrics, role: str, key: str
) -> tuple[Float[np.ndarray, " points"], Float[np.ndarray, " points"]]:
    by_step: dict[float, list[float]] = {}
    for line in metrics.evaluations:
        if line.role == role and key in line.values:
            by_step.setdefault(line.step, []).append(line.values[key])
    steps = sorted(by_step)
    means = [float(np.mean(by_step[step])) for step in steps]
    return np.array(steps, dtype=np.float64), np.array(means, dtype=np.float64)


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
