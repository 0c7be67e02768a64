"""The table of how many images each domain and class has."""

from collections.abc import Mapping

from align_jax.tables.table import plain_table
from align_jax.tables.terminal import terminal


def counts_table(
    counts: Mapping[str, Mapping[str, int]], expected: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """`counts[domain][class_name]` with totals; a cell that is not as `expected` says so."""
    classes = list(next(iter(counts.values())))

    def rows(numbers: Mapping[str, Mapping[str, int]]) -> list[list[int]]:
        inner = [[numbers[domain][name] for name in classes] for domain in counts]
        inner.append([sum(column) for column in zip(*inner, strict=True)])
        return [[*row, sum(row)] for row in inner]

    found = rows(counts)
    wanted = rows(expected) if expected is not None else found
    cells = [
        [f"{n:,}" if n == w else f"{n:,} (not {w:,})" for n, w in zip(line, wanted_line, strict=True)]
        for line, wanted_line in zip(found, wanted, strict=True)
    ]
    named = zip([*counts, "all"], cells, strict=True)
    return terminal(plain_table("", [*classes, "all"], named), rule=False)
