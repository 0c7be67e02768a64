"""How much each method's predictions depend on the background, compared with ERM and with the ceiling.

The gap is accuracy on aligned backgrounds - accuracy on conflicting ones, object by object. Of the way from ERM's gap
to that of ERM at correlation 0, a method goes the share
`(gap(ERM) - gap(method)) / (gap(ERM) - gap(ERM at correlation 0))`, with an interval over concepts and seeds, see
`shares`.
"""

from collections.abc import Mapping, Sequence

import numpy as np
from jaxtyping import Float, Shaped

from align_jax.reporting.paired import on_both_backgrounds
from align_jax.reporting.per_group import group_totals
from align_jax.runs.read import Run
from align_jax.tables.table import Cell, Table
from experiments.emoji_scenes.plan import CEILING, ERM
from experiments.emoji_scenes.shares import gain
from experiments.emoji_scenes.tables import (
    PerImage,
    Result,
    by_method,
    cell_of_accuracy,
    correct_by_method,
    of_common_seeds,
    score,
    table_of_correlation,
    values_by_method,
    with_interval,
)

# By (role, metric); the gap and the flips stand beside the plain tests.
COLUMNS = {
    "random, %": ("background_shift", "accuracy"),
    "aligned, %": ("aligned", "accuracy"),
    "neutral, %": ("neutral", "accuracy"),
    "conflicting, %": ("conflicting", "accuracy"),
    "gap, points": ("id", "gap"),
    "flips, %": ("id", "flips"),
    "held-out: random, %": ("ood", "accuracy"),
    "held-out: conflicting, %": ("ood_conflicting", "accuracy"),
    "held-out: flips, %": ("ood", "flips"),
}


def background_table(results: Sequence[Result], correlation: str) -> Table:
    """Accuracy by background, gap and flips, and the worst group, as mean ± standard error over seeds."""
    rows = {
        name: [
            Cell(str(len(runs))),
            *(cell_of_accuracy([score(run, role, metric) for run in runs]) for role, metric in COLUMNS.values()),
            cell_of_accuracy([worst_group_of_all_vendors(run) for run in runs]),
        ]
        for name, runs in by_method(results, correlation).items()
    }
    return table_of_correlation(correlation, ("seeds", *COLUMNS, "worst group, conflicting, training vendors, %"), rows)


def worst_group_of_all_vendors(result: Result) -> float | None:
    """The lowest accuracy of a pair of class and background, over the conflicting backgrounds of all training vendors.

    A vendor has some 29 images of each of 20 pairs, of which the worst would be mostly chance.
    """
    totals = group_totals(result.run, "conflicting").values()
    return min((hits / images for hits, images in totals), default=None)


def gap_table(results: Sequence[Result], correlation: str) -> Table:
    """The share of ERM's gap that each method closes, and its differences from ERM, with 95 % intervals."""
    titles = (
        "gap: of the way to correlation 0, %",
        "random: minus ERM, points",
        "conflicting: minus ERM, points",
        "held-out, gap: of the way to correlation 0, %",
        "held-out, random: minus ERM, points",
    )
    methods = by_method(results, correlation)
    if ERM.name not in methods or CEILING.name not in methods:
        return table_of_correlation(correlation, titles, {})
    seeds = {name: [run.seed for run in runs] for name, runs in methods.items()}
    measured = (
        (_negative_gaps(methods, "id"), True),
        (correct_by_method(methods, "background_shift"), False),
        (correct_by_method(methods, "conflicting"), False),
        (_negative_gaps(methods, "ood"), True),
        (correct_by_method(methods, "ood"), False),
    )
    rows: dict[str, list[Cell]] = {name: [] for name in methods if name != ERM.name}
    for name, cells in rows.items():
        for (values, concept), is_share in measured:
            compared = (name, ERM.name, CEILING.name) if is_share else (name, ERM.name)
            found = of_common_seeds(compared, seeds, values)
            gained = gain(*found, concept=concept) if found else None
            cells.append(with_interval(gained and (gained.share if is_share else gained.difference)))
    return table_of_correlation(correlation, titles, rows)


def _negative_gaps(
    methods: Mapping[str, Sequence[Result]], role: str
) -> tuple[dict[str, Float[np.ndarray, "s n"]], Shaped[np.ndarray, " n"]]:
    """correct on conflicting - correct on aligned, object by object: their mean is less the gap."""

    def negative_gap(run: Run) -> PerImage | None:
        both = on_both_backgrounds(run, role)
        if both is None:
            return None
        aligned, conflicting = both
        return PerImage(conflicting.correct - aligned.correct, aligned.concept, aligned.object)

    return values_by_method(methods, negative_gap)
