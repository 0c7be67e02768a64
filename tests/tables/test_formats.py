"""One table in every format; what its text holds is never markup."""

import csv
import io
import re

import pytest

from align_jax.tables.csv_text import csv_text
from align_jax.tables.html import html
from align_jax.tables.latex import latex
from align_jax.tables.markdown import markdown
from align_jax.tables.table import Cell, Column, Group, Row, Table, plain_table, shortened
from align_jax.tables.terminal import terminal

HOSTILE = "<script>alert(1)</script> & $x$ 50% a_b #1 {\\input{x}} | `c` [d](e) *f*"

TABLE = Table(
    "Accuracy",
    ("Domain", "Method"),
    (Column("Accuracy", unit="%", better="higher"), Column("Average", is_mean=True)),
    (
        Group(
            "Held out",
            (
                Row(("noto", "ALIGN"), (Cell("71.0", "1.9", note="n = 2", best=True), Cell("70.0", interval="1, 2"))),
                Row(("noto", "ERM"), (Cell("9.5"), Cell())),
                Row(("twemoji", "ERM"), (Cell(""), Cell("1.0", difference="+2.0", control="3.0")), is_mean=True),
            ),
            "never seen",
        ),
        Group("Published", (Row(("noto", "IRM"), (Cell("60"), Cell("61")), source="Somebody"),), "by others"),
    ),
    ("One sentence.", "Another."),
)


def hostile():
    return Table(
        HOSTILE,
        (HOSTILE,),
        (Column(HOSTILE),),
        (Group(HOSTILE, (Row((HOSTILE,), (Cell(HOSTILE, HOSTILE, HOSTILE, HOSTILE, best=True),)),), HOSTILE),),
        (HOSTILE,),
    )


def test_terminal():
    lines = terminal(TABLE).splitlines()
    columns = [line for line in lines if not line.startswith(("Held", "Published", "One", "Another"))]
    assert len({len(line) for line in columns}) == 1
    assert columns[0].split() == ["Domain", "Method", "Accuracy", "%", "Average"]
    assert set(columns[1]) == {"-", " "}
    assert lines[2] == "Held out never seen"
    assert lines[3].endswith("71.0 ± 1.9 (n = 2)  70.0 [1, 2]")
    assert lines[7].startswith("noto     IRM (published, Somebody)")
    assert lines[-2:] == ["One sentence.", "Another."]
    assert terminal(TABLE, rule=False).splitlines()[1] == "Held out never seen"


def test_markdown():
    title, grid, caption = markdown(TABLE).split("\n\n")
    assert (title, caption) == ("### Accuracy", "One sentence. Another.")
    rows = [[cell.strip() for cell in line.split("|")[1:-1]] for line in grid.splitlines()]
    assert rows[0] == ["Domain", "Method", "Accuracy %", "Average"]
    assert [set(cell) for cell in rows[1]] == [{"-"}, {"-"}, {"-", ":"}, {"-", ":"}]
    assert rows[2:] == [
        ["*Held out never seen*", "", "", ""],
        ["noto", "ALIGN", "**71.0 ± 1.9** (n = 2)", "70.0 [1, 2]"],
        ["noto", "ERM", "9.5", "–"],
        ["twemoji", "ERM", "", "1.0"],
        ["*Published by others*", "", "", ""],
        ["noto", "IRM (published, Somebody)", "60", "61"],
    ]
    assert len({len(line) for line in grid.splitlines()}) == 1


def test_latex():
    lines = latex(TABLE).splitlines()
    assert r"\caption{One sentence. Another.}" in lines
    assert r"\begin{tabular}{llrr}" in lines
    assert r"noto & ALIGN & \textbf{71.0} $\pm$ 1.9 (n = 2) & 70.0 {[}1, 2{]} \\" in lines
    assert r"\multicolumn{4}{l}{\emph{Published by others}} \\" in lines
    # A rule separates the groups; the first one has the header's.
    assert lines.count(r"\midrule") == 2


def test_html():
    page = str(html(TABLE, "in-line"))
    assert '<table class="in-line" style="--columns: 2">' in page
    # A name that rows share is there once, over all of them.
    assert len(re.findall(r'<th scope="rowgroup" rowspan="2"><span>noto</span></th>', page)) == 1
    assert page.count('<tr class="same">') == 1
    assert page.count('<tr class="mean">') == 1
    assert '<span class="best">71.0</span> <span class="error">± 1.9</span>' in page
    assert '<span class="difference">(+2.0)</span> <span class="control">random 3.0</span>' in page
    assert page.index('<tbody class="published">') < page.index("Somebody")
    assert '<span class="arrow" title="higher is better">↑</span>' in page


def test_a_control_that_beats_the_value_is_coloured():
    beaten = plain_table("", ("x",), [("a", (Cell("1", control="2", beaten_by_control=True),))])
    assert '<span class="control warning">random 2</span>' in html(beaten)


def test_html_without_titles_has_no_header():
    assert "<thead>" not in html(plain_table("", ("",), [("a", ("b",))]))
    assert "<thead>" in html(plain_table("Name", ("",), [("a", ("b",))]))


def test_text_is_no_markup():
    assert not re.search(r"(?<!\\)<script|(?<!\\)`c|(?<!\\)\[d|(?<!\\)\*f\*|(?<!\\)\| ?`", markdown(hostile()))
    assert r"\input{x}" not in latex(hostile())
    assert not re.search(r"(?<!\\)[#%]", latex(hostile()))
    assert "<script" not in html(hostile())


@pytest.mark.parametrize("written", [terminal, markdown, latex])
def test_long_names_are_short(written):
    long = plain_table("n" * 300, ["c" * 300], [("r" * 300, ["v" * 300])])
    assert max(map(len, re.findall(r"\w+", written(long)))) < 80
    assert shortened("x" * 81) == "x" * 79 + "…"


def test_csv_has_numbers_in_full_and_gives_a_spreadsheet_no_formula():
    titles = ("name", "seed", "value", "other")
    rows = [("=HYPERLINK(1)", 0, -0.5, None), ("a, b", 1, 1 / 3, 2.0)]
    assert list(csv.reader(io.StringIO(csv_text(titles, rows)))) == [
        list(titles),
        ["'=HYPERLINK(1)", "0", "-0.5", ""],
        ["a, b", "1", "0.3333333333333333", "2.0"],
    ]
    assert csv_text(titles, rows, digits=2).splitlines()[2] == '"a, b",1,0.33,2.00'


@pytest.mark.parametrize("first", "=+-@\uff1d\uff0b\uff0d\uff20")
def test_no_beginning_of_a_formula_stays_one(first):
    assert csv_text(("name",), [(f"{first}1+1",)]) == f"name\n'{first}1+1\n"


def test_a_cell_of_csv_is_one_line():
    assert csv_text(("name",), [("a\r=1\n\t\x00",)]) == "name\na =1  �\n"
