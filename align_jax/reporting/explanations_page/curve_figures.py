"""The curves of deletion and insertion: each method's mean over images, and the random map's with its interval.

A method has its colour and its dashes. Where colours look alike, the dashes differ. Controls are grey.
"""

from collections.abc import Mapping, Sequence
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from markupsafe import Markup
from matplotlib.ticker import FuncFormatter

from align_jax.evaluation.bootstrap import clustered_interval
from align_jax.reporting.curves import TEXT, page_axes, page_svg
from align_jax.reporting.explanations_page.data import Explanations
from align_jax.tables.table import MISSING, Table, plain_table, shortened

# The titles of the panels, and the metric that each is the curve of.
METRICS = {"Deletion": "deletion_auc", "Insertion": "insertion_auc"}
# Of the page's series colours all but the grey, which is for controls.
METHOD_COLOURS = (0, 1, 2, 4, 5, 6, 7)
# On and off in units of the line's width. Their number and that of the colours have no common factor, so that
# 35 methods differ.
DASHES = ((), (6, 2), (2, 1.5), (7, 1.5, 1.5, 1.5), (4, 1.5, 1.5, 1.5, 1.5, 1.5))
LINE_WIDTH = 1.7


class Style(NamedTuple):
    """How a method's lines are drawn: as matplotlib's colour, as the page's variable, and with which dashes."""

    drawn: str
    variable: str
    dashes: tuple[float, ...]


class Line(NamedTuple):
    """A method's mean curve; `low` and `high` are its interval, where it has a band."""

    method: str
    style: Style
    fractions: Float[np.ndarray, " k"]
    mean: Float[np.ndarray, " k"]
    low: Float[np.ndarray, " k"] | None
    high: Float[np.ndarray, " k"] | None
    undefined: int


class Legend(NamedTuple):
    """A method's line, as the legend draws and says it; `undefined` is the most images left out of any curve."""

    method: str
    colour: str
    dashes: str
    has_band: bool
    undefined: int


class Panel(NamedTuple):
    """A drawing: `svg` has no words of a run, and `description` says what it shows."""

    title: str
    run: str
    description: str
    svg: Markup
    numbers: Table


def curve_panels(runs: Mapping[str, Explanations], resamples: int) -> tuple[list[Panel], list[Legend]]:
    """A panel of deletion and one of insertion for each run that has them, with axes of one range, and their legend."""
    styles = _styles(runs)
    drawn = [
        (title, name, _lines(run, title.lower(), styles, resamples))
        for name, run in runs.items()
        for title in METRICS
        if _has(run, title)
    ]
    every = [line for _, _, lines in drawn for line in lines]
    highest = float(
        np.nanmax([0.0, *(top for line in every for top in (line.mean if line.high is None else line.high))])
    )
    highest = 1.05 * highest if highest > 0 else 1.0
    panels = [
        Panel(
            title, name if len(runs) > 1 else "", _described(title, lines), _svg(title, lines, highest), _numbers(lines)
        )
        for title, name, lines in drawn
    ]
    legend = [
        Legend(
            shortened(line.method),
            line.style.variable,
            " ".join(f"{LINE_WIDTH * part:g}" for part in line.style.dashes),
            line.low is not None,
            max(other.undefined for other in every if other.method == line.method),
        )
        for line in {line.method: line for line in every}.values()
    ]
    return panels, legend


def without_curves(runs: Mapping[str, Explanations]) -> list[str]:
    """Sentences on the panels that are not there, with the metric that each of them needs."""
    sentences = []
    for title, metric in METRICS.items():
        without = [name for name, run in runs.items() if not _has(run, title)]
        of = f" of {', '.join(map(shortened, without))}" if len(without) < len(runs) else ""
        if without:
            sentences.append(f"{title}{of}: not measured; it needs the metric {metric}.")
    return sentences


def _has(run: Explanations, title: str) -> bool:
    return any(title.lower() in curves.measured for curves in run.curves.values())


def _styles(runs: Mapping[str, Explanations]) -> dict[str, Style]:
    """By method, of all runs. Methods and controls are counted apart."""
    styles: dict[str, Style] = {}
    counts = {True: 0, False: 0}
    for run in runs.values():
        for method in run.methods:
            if method in styles or method not in run.curves:
                continue
            is_control = method in run.controls
            number = counts[is_control]
            counts[is_control] += 1
            series = METHOD_COLOURS[number % len(METHOD_COLOURS)]
            drawn, variable = (TEXT, "muted") if is_control else (f"#fe001{series}", f"series-{series}")
            styles[method] = Style(drawn, variable, DASHES[number % len(DASHES)])
    return styles


def _lines(run: Explanations, which: str, styles: Mapping[str, Style], resamples: int) -> list[Line]:
    lines = []
    for method in run.methods:
        if method not in run.curves or which not in run.curves[method].measured:
            continue
        curves = run.curves[method]
        values = np.asarray(curves.measured[which], np.float64)
        defined = ~np.isnan(values).any(axis=1)
        mean = values[defined].mean(axis=0) if defined.any() else np.full(values.shape[1], np.nan)
        low = high = None
        if method == run.random and defined.any():
            ends = [clustered_interval(v, run.cluster_of[defined], resamples=resamples) for v in values[defined].T]
            low, high = np.array(ends).T
            if np.isnan(low).any():  # a single cluster has no interval
                low = high = None
        undefined = int((~defined).sum())
        lines.append(Line(method, styles[method], np.asarray(curves.fractions), mean, low, high, undefined))
    return lines


def _svg(title: str, lines: Sequence[Line], highest: float) -> Markup:
    figure, axes = page_axes((5.0, 3.3), (0.14, 0.17, 0.82, 0.81))
    for line in lines:
        colour = line.style.drawn
        if line.low is not None and line.high is not None:
            axes.fill_between(100 * line.fractions, line.low, line.high, color=colour, alpha=0.25, linewidth=0)
        (drawn,) = axes.plot(100 * line.fractions, line.mean, color=colour, linewidth=LINE_WIDTH)
        if line.style.dashes:
            drawn.set_dashes(line.style.dashes)
    axes.set_xlim(0, 100)
    axes.set_ylim(0, highest)
    axes.yaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:.1f}"))
    done = "removed" if title == "Deletion" else "put back"
    axes.set_xlabel(f"most important pixels {done}, %", color=TEXT, fontsize=9)
    axes.set_ylabel("probability of the explained class", color=TEXT, fontsize=9, labelpad=8)
    return page_svg(figure)


def _described(title: str, lines: Sequence[Line]) -> str:
    done = "removed" if title == "Deletion" else "put back"
    sentences = [f"{title}: mean probability of the explained class by the share of pixels that are {done}."]
    for line in lines:
        middle = len(line.fractions) // 2
        points = [f"{_text(line.mean[i])} at {100 * line.fractions[i]:.0f} %" for i in (0, middle, -1)]
        sentences.append(f"{line.method}: {', '.join(points)}.")
    return " ".join(sentences)


def _numbers(lines: Sequence[Line]) -> Table:
    """The means at some of the fractions; methods measured at other fractions than the first have none."""
    if not lines:
        return plain_table("Method", (), ())
    fractions = lines[0].fractions
    chosen = np.unique(np.linspace(0, len(fractions) - 1, min(len(fractions), 11)).round().astype(int))
    rows = [
        (line.method, [_text(line.mean[i]) for i in chosen])
        for line in lines
        if np.array_equal(line.fractions, fractions)
    ]
    return plain_table("Method", [f"{100 * fractions[i]:.3g} %" for i in chosen], rows, title="Mean probability")


def _text(value: float) -> str:
    return f"{value:.3f}" if np.isfinite(value) else MISSING
