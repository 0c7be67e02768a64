"""The table of counts stays readable with many classes or domains, and its totals are right."""

import pytest

from align_jax.data.preparing.counts import counts_table


def numbers(domains, classes):
    return {f"d{d}": {f"c{c:04d}": 1000 * d + c for c in range(classes)} for d in range(domains)}


@pytest.mark.parametrize("classes", [1, 12, 40])
def test_classes_are_rows_and_domains_columns(classes):
    header, *rows = [line.split() for line in counts_table(numbers(3, classes)).splitlines()]
    assert header == ["d0", "d1", "d2", "all"]
    assert [row[0] for row in rows] == [*(f"c{c:04d}" for c in range(classes)), "all"]
    for c, row in enumerate(rows[:-1]):
        assert row[1:] == [f"{n:,}" for n in (c, 1000 + c, 2000 + c, 3000 + 3 * c)]
    assert rows[-1][4] == f"{sum(sum(each.values()) for each in numbers(3, classes).values()):,}"


def test_many_classes_are_summarised():
    table = counts_table(numbers(4, 102))
    lines = table.splitlines()
    assert len(lines) == 13
    assert max(map(len, lines)) < 100
    assert [line.split()[0] for line in lines[1:6]] == [f"c{c:04d}" for c in range(5)]
    assert [line.split()[0] for line in lines[7:12]] == [f"c{c:04d}" for c in range(97, 102)]
    assert lines[6].startswith("(92 between)")
    columns = [[int(cell.replace(",", "")) for cell in line.split()[-5:]] for line in lines[1:]]
    assert [sum(column) for column in zip(*columns[:-1], strict=True)] == columns[-1]


def test_many_domains_are_counted():
    counts = numbers(300, 3)
    lines = [line.split() for line in counts_table(counts).splitlines()]
    assert lines[0] == ["domains", "images"]
    assert lines[1] == ["c0000", "299", "44,850,000"]  # d0 has none of it
    assert lines[-1] == ["all", "300", f"{sum(sum(each.values()) for each in counts.values()):,}"]


def test_what_differs_is_said():
    counts = {"a": {"x": 1, "y": 2}, "b": {"x": 3, "y": 4}}
    lines = counts_table(counts, {"a": {"x": 1, "y": 5}, "b": {"x": 3, "y": 4}}).splitlines()
    assert "2 (not 5)" in lines[2]
    assert lines[3].endswith("10 (not 13)")
    assert "not" not in lines[1]
