import base64
import html.parser
import io
import json
import re

import numpy as np
import pytest
from PIL import Image

from align_jax.reporting.page import write_comparison_report, write_run_report
from align_jax.reporting.time_spent import PARTS
from align_jax.runs.untrusted_json import BrokenFile
from align_jax.training import clock

HOSTILE = '<script>alert("1")</script>&{{ 7 * 7 }}'
VOID = {"meta", "link", "img", "br"}


class Page(html.parser.HTMLParser):
    """Checks that tags close in order, and keeps text, images and addresses."""

    def __init__(self, content: str):
        super().__init__()
        self.open: list[str] = []
        self.tags: list[str] = []
        self.images: list[dict[str, str | None]] = []
        self.addresses: list[str] = []
        self.words: list[str] = []
        self.feed(content)
        assert self.open == []

    def handle_starttag(self, tag, attributes):
        self.tags.append(tag)
        found = dict(attributes)
        if tag == "img":
            self.images.append(found)
        self.addresses += [found[key] for key in ("src", "href", "xlink:href") if found.get(key)]
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attributes):
        self.tags.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag

    def handle_data(self, data):
        if not self.open or self.open[-1] != "style":
            self.words.append(data)

    @property
    def text(self) -> str:
        return " ".join(" ".join(self.words).split())


def read(path):
    return Page(path.read_text(encoding="utf-8"))


def edit_summary(run, **changes):
    path = run / "summary.json"
    path.write_text(json.dumps(json.loads(path.read_text()) | changes))


def without_curves(run):
    """Drawing takes most of the time of a page."""
    (run / "metrics.jsonl").write_text("")
    return run


def loads_nothing(path):
    page = read(path)
    assert "script" not in page.tags
    assert all(re.match(r"data:|#|\.\./", address) for address in page.addresses)
    assert not re.search(r"url\((?!#)|@import", path.read_text())
    assert page.images
    for image in page.images:
        assert image["alt"]
        content = base64.b64decode(image["src"].partition(",")[2])
        assert max(Image.open(io.BytesIO(content)).size) >= 128
    return True


@pytest.fixture
def both(make_run):
    return make_run("align", 0.02), make_run("erm", 0.0)


def test_run_page_tells_the_whole_story(make_run):
    run = make_run()
    path = write_run_report(run)
    assert path == run / "report" / "index.html"
    assert loads_nothing(path)
    text = read(path).text
    for word in ("Validation", "In distribution", "Background shift", "Out of distribution"):
        assert word in text
    for word in ("noto", "twemoji", "fluent3d", "Training vendors, unseen concepts, random backgrounds."):
        assert word in text
    for word in ("ALIGN on emoji_scenes", "learned masks", "step 480: best on the validation split of the"):
        assert word in text
    assert "5 min 12 s" in text
    assert "1.2 %" in text
    assert "64.0" in text
    assert "± 1.9" in text
    assert "random 0.050" in text
    for word in ("higher is better", "lower is better", "Alignment with the mask", "Distinction"):
        assert word in text


def test_where_the_time_went_is_a_table_that_needs_no_colour(make_run):
    run = make_run()
    page = read(write_run_report(run))
    assert "Updates of classifier and masker 3 min 51 s 73.9 %" in page.text
    assert page.text.index("Where the time went") < page.text.index("Start finding") < page.text.index("Other what is")
    content = (run / "report" / "index.html").read_text()
    widths = [float(width) for width in re.findall(r'class="bar"><div style="width: ([0-9.]+)%"', content)]
    assert len(widths) == len(PARTS)
    assert sum(widths) == pytest.approx(100, abs=0.4)
    assert "border-top: 0.7em solid" in content
    timing = json.loads((run / "summary.json").read_text())["timing"]
    # Of an earlier version, and of a summary that somebody wrote.
    for changed in ({"wall_s": 3.0, "compile_s": 1.0}, timing | {"data_s": -1.0}, dict.fromkeys(timing, 0.0)):
        edit_summary(run, timing=changed)
        assert "Where the time went" not in read(write_run_report(run)).text


def test_the_parts_of_the_time_are_those_of_the_clock(both, tmp_path):
    assert tuple(PARTS) == clock.PARTS
    text = read(write_comparison_report(tmp_path, both)).text
    assert text.count("Of this time updates 74 %, evaluation 17 %, compiling 7 %, saving 1 %") == 2


def test_comparison_page_has_methods_differences_and_links(both, tmp_path):
    for run in both:
        (run / "report").mkdir()
        (run / "report" / "index.html").touch()
    path = write_comparison_report(tmp_path, both)
    assert path == tmp_path / "report" / "index.html"
    assert loads_nothing(path)
    page = read(path)
    for word in ("ALIGN and ERM on emoji_scenes", "(+2.0)", "noto", "twemoji", "fluent3d", "Mean of 2"):
        assert word in page.text
    assert {"../align/report/index.html", "../erm/report/index.html"} <= set(page.addresses)
    assert all((path.parent / address).exists() for address in page.addresses if address.startswith(".."))


def test_hostile_names_stay_text(both, tmp_path):
    for run in both:
        edit_summary(
            run,
            class_names=[f"{HOSTILE}{i}" for i in range(5)],
            dataset=HOSTILE,
            selection=HOSTILE,
            train_domains=[HOSTILE],
            algorithm=HOSTILE,
        )
        summary = json.loads((run / "summary.json").read_text())
        results = [
            row | {"domain": HOSTILE + row["domain"], "role": HOSTILE + row["role"], HOSTILE: 1.0}
            for row in summary["results"]
        ]
        edit_summary(run, results=results)
        (run / "config.json").write_text(json.dumps({HOSTILE: HOSTILE}))
        line = {"step": 620, "split": HOSTILE, "role": HOSTILE, "domain": HOSTILE, HOSTILE: 1.0, "accuracy": 0.5}
        training = {"step": 620, "split": "train", HOSTILE: 1.0, f"{HOSTILE}/x": 2.0}
        with (run / "metrics.jsonl").open("w") as metrics:
            metrics.write(json.dumps(line) + "\n" + json.dumps(training) + "\n")
        for name in ("final", "before_guidance"):
            path = run / "gallery" / f"{name}.npz"
            if path.exists():
                arrays = dict(np.load(path))
                arrays["domain"] = arrays["role"] = np.array([HOSTILE] * 3)
                np.savez(path, **arrays)
    for path in (write_run_report(both[0]), write_comparison_report(tmp_path, both)):
        page = read(path)
        assert "script" not in page.tags
        assert "<script>" in page.text
        assert "&lt;script&gt;alert" in path.read_text()
        assert "{{ 7 * 7 }}" in page.text


@pytest.mark.parametrize("break_log", [lambda log: log.unlink(), lambda log: log.write_text("[1]\n[2]\n")])
def test_without_a_log_the_results_are_shown_and_the_page_says_why_there_are_no_curves(make_run, tmp_path, break_log):
    run = make_run()
    break_log(run / "metrics.jsonl")
    for path in (write_run_report(run), write_comparison_report(tmp_path, [run])):
        text = read(path).text
        assert f"No curves: {run / 'metrics.jsonl'}" in text
        assert "holds no values" not in text
        assert "75.0" in text


def test_optional_values_may_be_absent(make_run, tmp_path):
    run = make_run()
    least = {
        "algorithm": "erm",
        "guidance": "none",
        "dataset": "folder_of_images",
        "seed": 0,
        "selection": "last",
        "train_domains": ["art"],
        "held_out_domains": ["photo"],
        "class_names": ["cat", "dog"],
        "results": [{"domain": "photo", "role": "ood", "accuracy": None}, {"domain": "art", "role": "id"}],
    }
    (run / "summary.json").write_text(json.dumps(least))
    (run / "metrics.jsonl").write_text("")
    (run / "gallery" / "final.npz").unlink()
    for path in (write_run_report(run), write_comparison_report(tmp_path, [run])):
        text = read(path).text
        assert "photo" in text or "–" in text
        assert "No images were kept." in text
        assert "Not measured" in text
        assert "None" not in text
        assert "nan" not in text


def test_erm_page_has_no_masks_and_says_so_with_dashes(both, tmp_path):
    for run in both:
        without_curves(run)
    assert "Learned mask" not in read(write_run_report(both[1])).text
    erm = [row for row in read(write_comparison_report(tmp_path, both)).text.split("ERM") if row.lstrip()[:1].isdigit()]
    assert any("–" in row for row in erm)


def test_runs_that_differ_in_more_than_the_method_are_pointed_out(both, tmp_path):
    for run in both:
        without_curves(run)
    assert "differ in more" not in read(write_comparison_report(tmp_path, both)).text
    edit_summary(both[1], seed=7, train_domains=["openmoji"])
    assert (
        "differ in more than their method: training domains, seed."
        in read(write_comparison_report(tmp_path, both)).text
    )


def test_classes_left_out_of_the_auc_are_counted(make_run):
    run = without_curves(make_run())
    assert "left out" not in read(write_run_report(run)).text
    results = json.loads((run / "summary.json").read_text())["results"]
    results[3]["auc_classes_left_out"] = 2
    edit_summary(run, results=results)
    assert "up to 2 of them are left out" in read(write_run_report(run)).text


def test_groups_have_their_tables(make_run):
    run = without_curves(make_run())
    assert "Worst groups" not in read(write_run_report(run)).text
    results = json.loads((run / "summary.json").read_text())["results"]
    group = {"class": "mammal", "group": "a <b>park</b>", "examples": 24}
    results[3] |= {"per_group_accuracy": [group | {"accuracy": 0.25}], "worst_group": group}
    results[3] |= {"worst_group_accuracy": 0.25, "groups_left_out": 3}
    edit_summary(run, results=results)
    text = read(write_run_report(run)).text
    assert "Worst groups" in text
    assert "mammal, a <b>park</b>: 24 images" in text
    assert "Accuracy by group, %" in text
    assert "Groups left out" not in text


def test_a_report_is_written_whole_and_again(make_run):
    run = make_run()
    first = write_run_report(run).read_bytes()
    assert write_run_report(run).read_bytes() == first
    (run / "summary.json").write_text("{")
    with pytest.raises(ValueError, match=r"summary\.json is not JSON .*; delete it"):
        write_run_report(run)
    assert [path.name for path in (run / "report").iterdir()] == ["index.html"]
    assert (run / "report" / "index.html").read_bytes() == first


def test_nothing_to_compare_is_refused(tmp_path):
    with pytest.raises(ValueError, match="at least one run folder"):
        write_comparison_report(tmp_path, [])


def test_an_oracle_is_called_one_before_its_results(both, tmp_path):
    align, _ = both
    edit_summary(align, selection="oracle")
    alone, beside = write_run_report(align), write_comparison_report(tmp_path, both)
    for path, whose in ((alone, "the checkpoint was chosen"), (beside, "the checkpoint of ALIGN was chosen")):
        text = read(path).text
        assert f"ORACLE SELECTION: {whose} by its accuracy on the reported test" in text
        assert text.index("ORACLE SELECTION") > text.index("Results")
        assert text.index("ORACLE SELECTION") < text.index("± 1.9")
        assert "nothing of it was seen" not in text
        assert "the ORACLE chose the checkpoint" in text


def test_what_is_counted_has_no_chart(make_run):
    run = make_run()
    path = run / "metrics.jsonl"
    lines = [json.loads(line) | {"auc_classes_left_out": 1} for line in path.read_text().splitlines()]
    path.write_text("".join(json.dumps(line) + "\n" for line in lines if line["split"] != "train"))
    assert "left out" not in read(write_run_report(run)).text.lower()


def test_known_data_sets_and_methods_have_titles_and_others_their_own_names(make_run):
    run = make_run()
    edit_summary(run, dataset="terra_incognita", algorithm="coral")
    assert "CORAL on Terra Incognita" in read(write_run_report(run)).text
    edit_summary(run, dataset="my_photos", algorithm="myMethod")
    assert "myMethod on my_photos" in read(write_run_report(run)).text


def test_several_methods_of_explanation_have_a_table(make_run):
    run = make_run()
    assert "Methods of explanation" not in read(write_run_report(run)).text
    config = json.loads((run / "config.json").read_text())
    config["explain"] = {"methods": ["layer_cam", "rise"], "fill": "blur", "images": 128, "target": "label"}
    (run / "config.json").write_text(json.dumps(config))
    summary = json.loads((run / "summary.json").read_text())
    for result in summary["results"]:
        result |= {"deletion_auc": 0.123, "further_methods": {"rise": {"sufficiency": 0.777, "deletion_auc": 0.456}}}
    (run / "summary.json").write_text(json.dumps(summary))
    text = read(write_run_report(run)).text
    results, _, explained = text.partition("Faithfulness of the explanations")
    assert "by falling LayerCAM of the label class; what is removed becomes the fill (blur" in explained
    said, _, methods = explained.partition("Methods of explanation")
    assert "the area under the curve of deletion: lower is better." in said
    assert "the area under the curve of insertion: higher is better." in said
    assert "holes filled from around them" not in said, "ROAD was not measured"
    for shown in ("LayerCAM", "RISE", "0.123", "0.456", "0.777", "Deletion AUC", "Out of distribution"):
        assert shown in methods, shown
    assert "0.123" not in results, "a metric of explanations is not a metric of predictions"
    edit_summary(run, results=[result | {"further_methods": {"rise": 3}} for result in summary["results"]])
    with pytest.raises(BrokenFile, match="rise"):
        write_run_report(run)


def test_faithfulness_is_counted_over_its_own_images(make_run):
    text = read(write_run_report(make_run())).text
    results, _, faithfulness = text.partition("Faithfulness of the Grad-CAM")
    assert "128" in faithfulness
    assert "128" not in results[results.index("Domain") :]
    assert "560" not in faithfulness[: faithfulness.index("Comprehensiveness")]
