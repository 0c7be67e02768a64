import csv
import io
import json
import re
from dataclasses import replace
from html.parser import HTMLParser

import pytest

from align_jax.cli.report import main
from align_jax.reporting.many_runs.documents import html_document, latex_document, markdown_document, write_report
from align_jax.reporting.many_runs.every_number import every_number
from align_jax.reporting.many_runs.report import make_report
from align_jax.runs.collect import Collection
from align_jax.runs.read import Result
from align_jax.runs.read_groups import Group
from tests.reporting.many_runs.test_report import CLASSES, VLCS, held_out, planned, report, run

HOSTILE = "<script>alert(1)</script> & $x$ 50% a_b #1 ~^ {\\input{/etc/passwd}} | `c` [d](e) *f*"


def example():
    runs = [held_out("erm", d, s, 0.70 + s / 50) for d in VLCS for s in (0, 1)]
    runs += [held_out("align", d, s, 0.80 + s / 50) for d in VLCS[1:] for s in (0, 1)]
    return report(
        runs, [planned(r.path, r.algorithm, r.domain, r.seed) for r in runs] + [planned("x", "erm", "SUN09", 2)]
    )


def hostile():
    tests = {("ood", HOSTILE): {"accuracy": 0.5, "classes": {HOSTILE: 0.25}}}
    changed = {"class_names": (HOSTILE,), "config": {"optim.lr": HOSTILE, HOSTILE: HOSTILE}, "dataset": HOSTILE}
    return make_report(Collection((run(HOSTILE, HOSTILE, 0, tests, **changed),), (), (HOSTILE,)))


def markdown_rows(text):
    lines = [line for line in text.splitlines() if line.startswith("|")]
    return [[cell.strip() for cell in re.split(r"(?<!\\)\|", line)[1:-1]] for line in lines]


def test_markdown_has_our_rows_the_missing_ones_and_the_published():
    text = markdown_document(example())
    rows = {row[0]: row[1:] for row in markdown_rows(text)}
    assert rows["Method"] == [*VLCS, "Average"]
    assert rows["ERM"] == ["71.0 ± 1.0", "71.0 ± 1.0", "71.0 ± 1.0 (2/3)", "71.0 ± 1.0", "71.0 ± 1.0"]
    assert rows["ALIGN"] == ["–", *["**81.0 ± 1.0**"] * 3, "–"]
    assert rows["ERM (published, DomainBed)"] == ["97.7", "64.3", "73.4", "74.6", "77.5"]
    assert rows["DRE (published, DRE's paper)"] == ["98.3", "65.5", "73.8", "80.2", "79.5"]
    for said in (
        "14 of 15 planned",
        "optim.lr = 5e-05",
        "best on the validation split of the training domains; with guidance, of those after warm-up\n",
        "In Search of Lost",
    ):
        assert said in text


def test_an_oracle_is_called_one_wherever_it_stands():
    made = report([held_out("erm", "SUN09", 0, 0.5, selection="oracle")])
    for text in (markdown_document(made), latex_document(made), html_document(made)):
        assert "ORACLE SELECTION" in text
        assert text.index("ORACLE") < text.index("50.0")


def test_every_markdown_row_has_the_columns_of_its_header():
    for made in (example(), hostile()):
        tables = re.split(r"\n\n", markdown_document(made))
        widths = [{len(row) for row in markdown_rows(table)} for table in tables if table.startswith("|")]
        assert widths
        assert all(len(width) == 1 for width in widths)


def test_markdown_takes_nothing_from_the_files_for_markup():
    text = markdown_document(hostile())
    assert not re.search(r"(?<!\\)<script|(?<!\\)`c|(?<!\\)\[d|(?<!\\)\*f\*", text)


def latex_problems(text):
    """What a reader of TeX's grammar finds: braces, environments, and the cells of each row."""
    text = re.sub(r"(?<!\\)%.*", "", text)
    depth = 0
    for brace in re.findall(r"(?<!\\)(?:\\\\)*([{}])", text):
        depth += 1 if brace == "{" else -1
        if depth < 0:
            return "a brace closes nothing"
    if depth:
        return f"{depth} braces are open"
    open_environments = []
    for kind, name in re.findall(r"\\(begin|end)\{(\w+)\}", text):
        if kind == "begin":
            open_environments.append(name)
        elif not open_environments or open_environments.pop() != name:
            return f"{name} ends and was not begun"
    for alignment, body in re.findall(r"\\begin\{tabular\}\{(l?r*)\}(.*?)\\end\{tabular\}", text, flags=re.DOTALL):
        for row in re.sub(r"\\(top|mid|bottom)rule", "", body).strip().split(r"\\" + "\n"):
            cells = len(re.findall(r"(?<!\\)&", row)) + 1
            spanned = re.match(r"\s*\\multicolumn\{(\d+)\}", row)
            if (int(spanned[1]) if spanned else cells) != len(alignment):
                return f"a row of {cells} cells under {alignment}: {row}"
    return "" if not open_environments else f"{open_environments} do not end"


@pytest.mark.parametrize("made", [example, hostile])
def test_latex_is_a_whole_document_of_booktabs_tables(made):
    text = latex_document(made())
    assert latex_problems(text) == ""
    assert text.index(r"\documentclass") < text.index(r"\usepackage{booktabs}") < text.index(r"\begin{document}")
    assert text.endswith("\\end{document}\n")
    assert text.count(r"\toprule") == text.count(r"\bottomrule") == text.count(r"\begin{table}") > 0


def test_latex_escapes_what_the_files_hold():
    text = latex_document(hostile())
    body = text[text.index(r"\begin{document}") :]
    assert r"\input" not in body
    assert r"\textbackslash{}input\{/etc/passwd\}" in body
    assert r"\& \$x\$ 50\% a\_b \#1 \textasciitilde{}\textasciicircum{}" in body
    assert not re.search(r"(?<!\\)[#%]", body)


def test_latex_writes_signs_as_commands():
    text = latex_document(example())
    assert r"ALIGN & -- & \textbf{81.0} $\pm$ 1.0 &" in text
    # Only comments, which TeX does not read, may have other characters.
    assert text.isascii()


def test_csv_has_a_row_for_each_run_domain_role_and_metric():
    rows = list(csv.DictReader(io.StringIO(every_number(example()))))
    accuracy = [row for row in rows if row["metric"] == "accuracy"]
    assert len(accuracy) == 14
    assert len(rows) == 28
    first = next(row for row in accuracy if row["method"] == "ALIGN" and row["domain_tested"] == "SUN09")
    assert (first["dataset"], first["protocol"], first["role"]) == ("vlcs", "leave_one_out", "ood")
    assert (first["domain_singled_out"], first["seed"], first["examples"], first["value"]) == (
        "SUN09",
        "0",
        "100",
        "0.8",
    )
    assert first["selection"] == "training_domain_validation"


def test_csv_counts_the_images_that_were_measured():
    measured = {"accuracy": 0.5, "insertion_auc": 0.4, "random_sufficiency": 0.3, "sufficiency_standard_error": 0.1}
    result = Result("SUN09", "ood", "test", 3282, measured, {"bird": 1.0}, 128)
    made = report([run("erm", "SUN09", 0, {}, results=(result,))])
    examples = {row["metric"]: row["examples"] for row in csv.DictReader(io.StringIO(every_number(made)))}
    assert examples == {
        "validation_accuracy": "",
        "accuracy": "3282",
        "insertion_auc": "128",
        "random_sufficiency": "128",
        "sufficiency_standard_error": "128",
        "per_class_accuracy/bird": "3282",
    }


def test_long_names_are_short_in_tables_and_whole_in_the_csv():
    method, domain, setting, seed = "m" * 3000, "d" * 3000, "s" * 3000, int("7" * 3000)
    tests = {("ood", domain): {"accuracy": 0.5, "classes": {"c" * 3000: 0.25}}}
    changed = {"class_names": ("c" * 3000,), "train_domains": ("t" * 3000,), "selection": "l" * 3000}
    runs = [run(method, domain, seed, tests, config={"optim.lr": text}, **changed) for text in ("1", setting)]
    made = report(runs)
    for text in (markdown_document(made), latex_document(made)):
        assert max(map(len, re.findall(r"\w+", text))) <= 80
        assert len(text) < 20_000
    page = html_document(made)
    assert f'title="{domain}"' in page
    assert max(map(len, re.findall(r"\w+", re.sub(r'title="[^"]*"', "", page)))) <= 80
    rows = every_number(made)
    assert all(text in rows for text in (method, domain, setting, str(seed), "c" * 3000))


def test_csv_gives_a_spreadsheet_no_formula():
    made = report([held_out("=HYPERLINK(1)", "SUN09", 0, 0.5, config={"optim.lr": "+1"})])
    (row,) = [row for row in csv.DictReader(io.StringIO(every_number(made))) if row["metric"] == "accuracy"]
    assert row["algorithm"] == "'=HYPERLINK(1)"
    assert row["value"] == "0.5"


def test_folders_names_inject_no_lines(tmp_path):
    odd = "x\n## Not ours\udcff"
    runs = [held_out("erm", "SUN09", 0, 0.5, folder=f"{odd}{i}") for i in range(2)]
    made = report(runs, [planned(odd, "irm", "SUN09", 0)])
    assert len(made.problems) == 2
    write_report(made, tmp_path)
    for name in ("tables.md", "tables.csv", "tables.tex", "index.html"):
        assert not any(line.startswith("## Not ours") for line in (tmp_path / name).read_text().splitlines())


def test_long_names_make_no_long_lines():
    long = "x" * 20_000
    tests = {(long, "SUN09"): {"accuracy": 0.5}}
    made = report([run("erm", "SUN09", 0, tests)], [planned(long, "irm", "SUN09", 0)])
    assert len(made.problems) == 1
    assert max(map(len, markdown_document(made).splitlines())) < 4000


def test_csv_has_the_classes():
    tests = {("ood", "SUN09"): {"accuracy": 0.5, "classes": dict.fromkeys(CLASSES, 0.25)}}
    rows = list(csv.DictReader(io.StringIO(every_number(report([run("erm", "SUN09", 0, tests)])))))
    assert {row["value"] for row in rows if row["metric"].startswith("per_class_accuracy/")} == {"0.25"}


def test_csv_and_tables_have_the_groups():
    (made,) = [run("erm", "SUN09", 0, {("ood", "SUN09"): {"accuracy": 0.5}})]
    groups = (Group("bird", "sea", 12, 0.25), Group("dog", "sea", 3, None))
    result = replace(made.results[0], groups=groups, values={"accuracy": 0.5, "worst_group_accuracy": 0.25})
    made = make_report(Collection((replace(made, results=(result,)),), (), ()))
    rows = {row["metric"]: row for row in csv.DictReader(io.StringIO(every_number(made)))}
    assert (rows["per_group_accuracy/bird/sea"]["value"], rows["per_group_accuracy/bird/sea"]["examples"]) == (
        "0.25",
        "12",
    )
    assert "per_group_accuracy/dog/sea" not in rows
    assert "### Worst group, out of distribution, %" in markdown_document(made)


class Page(HTMLParser):
    """The tags of a page that are still open, all that were seen, and its text."""

    def __init__(self, page):
        super().__init__()
        self.open, self.tags, self.text, self.attributes = [], [], [], []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        self.attributes += attributes
        if tag not in ("meta", "link", "br"):
            self.open.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        self.text.append(data)


@pytest.mark.parametrize("made", [example, hostile])
def test_the_page_is_well_formed_and_loads_nothing(made):
    page = Page(html_document(made()))
    assert page.open == []
    assert not {"script", "img", "iframe", "object", "form", "base"} & set(page.tags)
    addresses = [value for name, value in page.attributes if name in ("href", "src")]
    assert all(address.startswith(("#", "data:")) for address in addresses)


def test_the_page_shows_text_from_files_as_text():
    page = Page(html_document(hostile()))
    assert any(HOSTILE in text for text in page.text)


def test_the_page_marks_the_best_the_missing_and_the_published():
    page = html_document(example())
    assert page.count('class="best"') == 3
    assert "(2/3)" in page
    assert page.index('<tbody class="published">') < page.index("97.7")


def test_the_command_writes_four_files_and_prints_the_first(tmp_path, capsys):
    folder = tmp_path / "erm"
    folder.mkdir()
    result = {"domain": "SUN09", "role": "ood", "split": "test", "examples": 10, "accuracy": 0.75}
    summary = {
        "algorithm": "erm",
        "guidance": "none",
        "dataset": "vlcs",
        "protocol": "leave_one_out",
        "domain": "SUN09",
    }
    summary |= {"seed": 0, "step": 10, "best_step": 10, "selection": "last", "train_domains": ["LabelMe"]}
    summary |= {"held_out_domains": ["SUN09"], "class_names": list(CLASSES), "results": [result]}
    (folder / "summary.json").write_text(json.dumps(summary))
    (folder / "config.json").write_text(json.dumps({"optim": {"lr": 0.001}}))
    assert main(["report.py", str(tmp_path), f"--out={tmp_path / 'out'}", "--metric=accuracy"]) == 0
    assert {path.name for path in (tmp_path / "out").iterdir()} == {
        "tables.md",
        "tables.tex",
        "tables.csv",
        "index.html",
    }
    printed_text = capsys.readouterr().out
    assert printed_text.strip() == (tmp_path / "out" / "tables.md").read_text().strip()
    assert "| ERM " in printed_text
    assert main(["report.py", str(tmp_path), "--metric=mask_iou"]) == 0
    assert (tmp_path / "tables" / "index.html").exists()
    assert "No run measured mask_iou." in capsys.readouterr().err


def test_a_runs_own_page_is_not_replaced(tmp_path, capsys):
    (tmp_path / "config.json").write_text("{}")
    for out in (tmp_path, tmp_path / "report"):
        assert main(["report.py", str(tmp_path), f"--out={out}"]) == 2
        assert "own files of the run" in capsys.readouterr().err
    assert [path.name for path in tmp_path.iterdir()] == ["config.json"]


def test_a_folder_without_runs_is_a_sentence(tmp_path, capsys):
    (tmp_path / "summary.json").write_text("{")
    assert main(["report.py", str(tmp_path)]) == 2
    said = capsys.readouterr().err
    assert said.startswith("error: No complete run under")
    assert "summary.json is not JSON" in said
    assert main(["report.py", str(tmp_path / "missing")]) == 2
    assert not (tmp_path / "tables").exists()


def test_a_metric_that_does_not_exist_is_answered_with_those_that_do(tmp_path, capsys):
    with pytest.raises(SystemExit):
        main(["report.py", str(tmp_path), "--metric=beauty"])
    assert "balanced_accuracy" in capsys.readouterr().err


def test_no_runs_give_an_empty_report(tmp_path):
    made = make_report(Collection((), (), ()))
    assert made.tasks == ()
    assert write_report(made, tmp_path).exists()
