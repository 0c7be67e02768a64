"""Images of each domain and class, as text."""

from collections.abc import Mapping, Sequence


def counts_table(
    counts: Mapping[str, Mapping[str, int]], expected: Mapping[str, Mapping[str, int]] | None = None
) -> str:
    """Domains x classes, with totals; where more or fewer were expected, the cell says so.

    Args:
        counts: `counts[domain][class_name]`.
        expected: the same, for what a complete copy has.
    """
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
    lines = [["", *classes, "all"], *([name, *line] for name, line in zip([*counts, "all"], cells, strict=True))]
    return align(lines)


def align(lines: Sequence[Sequence[str]]) -> str:
    """Columns of equal width, the first flush left, the others right."""
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.ljust(width) if position == 0 else cell.rjust(width)
            for position, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )
