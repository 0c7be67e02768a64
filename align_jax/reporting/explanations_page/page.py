"""The page: one HTML file that loads nothing, and runs nothing but this package's own script.

The script is a constant of the package. The page's Content-Security-Policy allows it by its hash and no other, so that
whatever a run's names hold, a browser runs none of it. The script reads numbers from `data-` attributes. Without it
all cards, tables and curves are there; it only filters, sorts, and changes how strongly the maps cover the images.
"""

import base64
import dataclasses
import hashlib
import pathlib
from collections.abc import Mapping, Sequence

from markupsafe import Markup

from align_jax.reporting import names
from align_jax.reporting.columns import Metric, explanation_metric
from align_jax.reporting.explanations_page import value_tables
from align_jax.reporting.explanations_page.cards import cards_of, classes_of, domains_of
from align_jax.reporting.explanations_page.curve_figures import curve_panels, without_curves
from align_jax.reporting.explanations_page.data import Explanations, check, is_labelled
from align_jax.reporting.explanations_page.pictures import MOST_BYTES, SIDES, Sides
from align_jax.reporting.metric_meanings import MEANINGS
from align_jax.reporting.page import TEMPLATES
from align_jax.tables.table import shortened

SCRIPT = (pathlib.Path(__file__).parent / "page.js").read_text(encoding="utf-8")
# Of the bytes between the tags, as a browser hashes them.
SCRIPT_HASH = f"sha256-{base64.b64encode(hashlib.sha256(SCRIPT.encode()).digest()).decode()}"

SAMPLED = 8
"""The images by whose pictures a size is judged before all are drawn."""
PICTURES_SHARE = 0.93
"""Of a page's bytes; the rest is text."""


def explanations_page(
    runs: Mapping[str, Explanations],
    *,
    title: str = "",
    skipped: Sequence[tuple[str, str]] = (),
    resamples: int = 2000,
    most_bytes: int = MOST_BYTES,
) -> str:
    """The page of one run's explanations, or of several runs side by side.

    Args:
      runs: by name, in the order of the page. All explain the same images; the first is the one that the others are
        compared with.
      title: of the page; by default, the names of the runs.
      skipped: the images that could not be read, each with the reason.
      resamples: of the bootstrap behind the intervals.
      most_bytes: of the page. Its pictures are made smaller until it fits; at the smallest size it may not.

    Returns:
      The page's HTML. Names are text in it, whatever they hold.

    Raises:
      UserError: no run, numbers of images that disagree, or runs that explain different images.
    """
    check(runs)
    first = next(iter(runs.values()))
    metrics = _metrics(runs)
    panels, legend = curve_panels(runs, resamples)
    values = {
        "title": title or f"Explanations of {names.listed(list(runs))}",
        "script": Markup(SCRIPT),
        "script_hash": Markup(SCRIPT_HASH),
        "runs": _facts_of_runs(runs, len(skipped)),
        "skipped": skipped,
        "differing": _differing(runs),
        "tables": [
            value_tables.value_table(runs, metrics, resamples),
            value_tables.random_table(runs, metrics, resamples),
            value_tables.run_table(runs, metrics, resamples),
        ],
        "clustered": first.clusters is not None,
        "metrics": metrics,
        "meanings": {metric.title: MEANINGS[metric.key] for metric in metrics if metric.key in MEANINGS},
        "panels": panels,
        "legend": legend,
        "drawn": {panel.title for panel in panels},
        "without_curves": without_curves(runs),
        "methods": _methods(runs),
        "domains": list(map(shortened, domains_of(first))),
        "classes": list(map(shortened, classes_of(first))),
        "labelled": is_labelled(first),
        "percent": f"{100 * first.settings.shown_fraction:g}",
        "run_names": list(map(shortened, runs)),
        "method_names": _method_names(runs),
        "predictions": _predictions(runs),
    }
    return _rendered(values, runs, metrics, most_bytes)


def _metrics(runs: Mapping[str, Explanations]) -> list[Metric]:
    """The columns: every metric that a run has."""
    keys = dict.fromkeys(key for run in runs.values() for key in run.metrics)
    higher = {key: better for run in reversed([*runs.values()]) for key, better in run.higher_is_better.items()}
    return [explanation_metric(key, higher.get(key)) for key in keys]


def _facts_of_runs(runs: Mapping[str, Explanations], skipped: int) -> dict[str, dict[str, str]]:
    """What stands above the tables, by run; `skipped` images could not be read."""
    not_read = {"Not read": f"{skipped:,}"} if skipped else {}
    return {name: ({"Run": name} if len(runs) == 1 else {}) | _facts(run) | not_read for name, run in runs.items()}


def _rendered(
    values: Mapping[str, object], runs: Mapping[str, Explanations], metrics: Sequence[Metric], most_bytes: int
) -> str:
    """The page with the largest pictures with which it is small enough."""
    template = TEMPLATES.get_template("explanations.html")
    page = ""
    for sides in _likely_sides(runs, metrics, most_bytes):
        page = template.render(**values, cards=cards_of(runs, metrics, sides))
        if len(page.encode()) <= most_bytes:
            break
    return page


def _likely_sides(runs: Mapping[str, Explanations], metrics: Sequence[Metric], most_bytes: int) -> Sequence[Sides]:
    """The sizes that are worth trying, by the pictures of a few images: to draw all of them takes long."""
    images = len(next(iter(runs.values())).images)
    step = max(1, images // SAMPLED)
    sample = {name: dataclasses.replace(run, images=run.images[::step]) for name, run in runs.items()}
    for position, sides in enumerate(SIDES):
        cards = cards_of(sample, metrics, sides)
        pictures = sum(len(address) for card in cards for address in card.addresses)
        if pictures * images <= PICTURES_SHARE * most_bytes * len(cards):
            return SIDES[position:]
    return SIDES[-1:]


def _methods(runs: Mapping[str, Explanations]) -> list[tuple[str, str, str]]:
    """For each method of each run: run and method as the cards count them, the run's name, and the method's."""
    return [
        (f"{number}-{position}", shortened(name), shortened(method))
        for number, (name, run) in enumerate(runs.items())
        for position, method in enumerate(run.methods)
    ]


def _method_names(runs: Mapping[str, Explanations]) -> list[str]:
    """Of all runs, as the cards count them."""
    return list(dict.fromkeys(shortened(method) for run in runs.values() for method in run.methods))


def _predictions(runs: Mapping[str, Explanations]) -> list[tuple[str, str]]:
    """What predictions can be filtered by: which run's and whether it is right, and how that is called."""
    return [
        (f"{number}-{int(right)}", f"{shortened(name)} {says}" if len(runs) > 1 else says)
        for number, name in enumerate(runs)
        for right, says in ((True, "right"), (False, "wrong"))
    ]


def _facts(run: Explanations) -> dict[str, str]:
    settings = run.settings
    return {
        "Images measured": f"{run.measured:,}",
        "Images shown": f"{len(run.images):,}",
        "Explained class": shortened(settings.explained_class),
        "Fill": shortened(settings.fill),
        "Fill of insertion": shortened(settings.insertion_fill),
        "Steps of deletion and insertion": f"{settings.steps:,}",
        "Removed or kept in the pictures": f"{100 * settings.shown_fraction:g} %",
        "Controls": shortened(", ".join(method for method in run.methods if method in run.controls)) or "none",
    }


def _differing(runs: Mapping[str, Explanations]) -> list[str]:
    """What was not the same for all runs, so that their numbers cannot be compared."""
    facts = [_facts(run) for run in runs.values()]
    return [title.lower() for title in facts[0] if len({of_run[title] for of_run in facts}) > 1]
