"""Numbers as CSV, for spreadsheets and for statistics of one's own. Unlike the other formats it writes no cells."""

import csv
import io
from collections.abc import Iterable, Sequence

from align_jax.errors import one_line

# How a formula begins; some spreadsheets read the full-width letters too.
FORMULA = ("=", "+", "-", "@", "\uff1d", "\uff0b", "\uff0d", "\uff20")


def csv_text(titles: Sequence[str], rows: Iterable[Sequence[object]], digits: int | None = None) -> str:
    """Rows of text and numbers below the columns' titles; None is left empty.

    A float has so many `digits` after its decimal point; by default all that it has.
    """

    def field(value: object) -> object:
        if isinstance(value, float) and digits is not None:
            return f"{value:.{digits}f}"
        if isinstance(value, str):
            value = one_line(value)  # a lone carriage return would end the row
            # Text that a spreadsheet would take for a formula is given to it as text.
            return f"'{value}" if value.startswith(FORMULA) else value
        return value

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(map(field, row) for row in rows)
    return stream.getvalue()
