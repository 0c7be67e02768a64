"""The table of how many images each domain and class has."""

from collections.abc import Mapping, Sequence

from align_jax.tables.table import plain_table
from align_jax.tables.terminal import terminal

# A table with more classes is a summary: the classes with the fewest images, and those with the most.
MOST_CLASSES = 40
SHOWN = 5
# A table with more domains has one column for all of them.
MOST_DOMAINS = 10

Counts = Mapping[str, Mapping[str, int]]


def counts_table(counts: Counts, expected: Counts | None = None) -> str:
    """A row for each class and a column for each domain of `counts[domain][class_name]`, with totals.

    A cell that is not as `expected` says so. Many classes are summarised, and many domains are only counted.
    """
    classes = list(next(iter(counts.values())))
    shown, between = classes, []
    if len(classes) > MOST_CLASSES:
        ordered = sorted(classes, key=lambda name: sum(of_classes[name] for of_classes in counts.values()))
        shown, between = [*ordered[:SHOWN], *ordered[-SHOWN:]], ordered[SHOWN:-SHOWN]
    rows = [(name, _cells(counts, expected or counts, [name])) for name in shown]
    if between:
        rows.insert(SHOWN, (f"({len(between):,} between)", _cells(counts, expected or counts, between)))
    rows.append(("all", _cells(counts, expected or counts, classes)))
    titles = [*counts, "all"] if len(counts) <= MOST_DOMAINS else ["domains", "images"]
    return terminal(plain_table("", titles, rows), rule=False)


def _cells(counts: Counts, expected: Counts, classes: Sequence[str]) -> list[str]:
    """How many images of the classes each domain has, and all have; or how many domains have any, and all have."""
    found = [sum(of_classes[name] for name in classes) for of_classes in counts.values()]
    wanted = [sum(expected[domain][name] for name in classes) for domain in counts]
    if len(counts) > MOST_DOMAINS:
        found, wanted = [sum(map(bool, found))], [sum(map(bool, wanted))]
    cells = zip([*found, _total(counts, classes)], [*wanted, _total(expected, classes)], strict=True)
    return [f"{n:,}" if n == right else f"{n:,} (not {right:,})" for n, right in cells]


def _total(counts: Counts, classes: Sequence[str]) -> int:
    return sum(of_classes[name] for of_classes in counts.values() for name in classes)
