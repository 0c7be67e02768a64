"""The table of how many images each domain and class has."""

from collections.abc import Mapping

from align_jax.tables.table import plain_table
from align_jax.tables.terminal import terminal


def counts_table(
    counts: Mapping[str, Mapping[str, int]], expected: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """`counts[domain][class_name]` with totals; a cell that is not as `expected` says so."""
    classes = list(next(iter(counts.values())))

    def with_totals(numbers: Mapping[str, Mapping[str, int]]) -> list[list[int]]:
        rows = [[numbers[domain][name] for name in classes] for domain in counts]
        rows.append([sum(column) for column in zip(*rows, strict=True)])
        return [[*row, sum(row)] for row in rows]

    cells = [
        [f"{n:,}" if n == wanted else f"{n:,} (not {wanted:,})" for n, wanted in zip(*rows, strict=True)]
        for rows in zip(with_totals(counts), with_totals(expected or counts), strict=True)
    ]
    named = zip([*counts, "all"], cells, strict=True)
    return terminal(plain_table("", [*classes, "all"], named), rule=False)
