"""How to read tables by domain."""

from collections.abc import Sequence

from align_jax.reporting.many_runs.by_domain import DomainTable
from align_jax.tables.table import MISSING


def legend(tables: Sequence[DomainTable]) -> list[str]:
    """What ±, bold, brackets and dashes stand for, in sentences, as far as the tables have them."""
    means = [mean for table in tables for mean in table.means]
    averages = [mean for table in tables for mean in table.averages]
    if not any(mean.seeds for mean in means):
        return []
    sentences = []
    has_errors = any(mean.error is not None for mean in means)
    if has_errors:
        sentences.append("Mean ± standard error over seeds (sd / √n).")
        if any(mean.seeds == 1 for mean in means):
            sentences.append("A cell without ± is one seed.")
    else:
        sentences.append("One seed a cell: no standard error can be given, any difference may be chance.")
    if any(mean.value is not None and not mean.seeds for mean in averages):
        sentences.append("An average without ± is over cells whose seeds differ.")
    if any(mean.best for mean in (*means, *averages)):
        sentences.append(
            "Bold: the best of our rows in a column, and those that differ from it by no more than one standard error "
            "of the difference, √(a² + b²); none where that is every row."
            if has_errors
            else "Bold: the best of our rows in a column; none where all are alike."
        )
    if any(mean.planned for mean in means):
        sentences.append(
            "(2/3): two runs of three; the others are planned and not complete, or their number is not finite."
        )
    if any(mean.value is None and not mean.blank for mean in means):
        sentences.append(f"{MISSING}: not run or not complete, or no finite number; the row then has no average.")
    if any(row.source for table in tables for row in table.table.rows):
        sentences.append("Published rows are other people's numbers, as printed; bold does not compare them with ours.")
    return sentences
