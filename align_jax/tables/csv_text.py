"""Numbers as CSV, for spreadsheets and for statistics of one's own. Unlike the other formats it writes no cells."""

import csv
import io
from collections.abc import Iterable, Sequence


def csv_text(titles: Sequence[str], rows: Iterable[Sequence[object]], digits: int | None = None) -> str:
    """Rows of text and numbers below the columns' titles; None is left empty.

    A float has so many `digits` after its decimal point; by default all that it has.
    """

    def field(value: object) -> object:
        if isinstance(value, float) and digits is not None:
            return f"{value:.{digits}f}"
        # Text that a spreadsheet would take for a formula is given to it as text.
        return f"'{value}" if isinstance(value, str) and value.startswith(("=", "+", "-", "@")) else value

    stream = io.StringIO()
    writer = csv.writer(stream, lineterminator="\n")
    writer.writerow(titles)
    writer.writerows(map(field, row) for row in rows)
    return stream.getvalue()
