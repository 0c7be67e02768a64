"""What the background decides, on pages and in tables; runs without such tests are reported as before."""

import json

import numpy as np
import pytest

from align_jax.evaluation.background_gap import background_gap
from align_jax.reporting import paired
from align_jax.reporting.background_cards import object_cards
from align_jax.reporting.by_background import background_table
from align_jax.reporting.page import write_comparison_report, write_run_report
from align_jax.reporting.result_tables import comparison_table, headline_table
from align_jax.runs.read import read_run
from tests.finished_run import add_background_tests


@pytest.fixture
def both(make_run):
    """Of ten concepts ALIGN gets one wrong on conflicting backgrounds, ERM four."""
    runs = add_background_tests(make_run("align"), flipped=1), add_background_tests(make_run("erm"), flipped=4)
    for run in runs:
        (run / "metrics.jsonl").write_text("")  # drawing curves takes most of the time of a page
    return runs


def cells(table):
    """By the title of the group, where there is one, and the method: the cells by the titles of their columns."""
    titles = [column.title for column in table.columns]
    return {
        (*filter(None, [group.title]), *row.names): dict(zip(titles, row.cells, strict=True))
        for group in table.groups
        for row in group.rows
    }


def test_the_first_table_has_gap_and_flips_with_errors_over_the_concepts_that_domains_share(both):
    runs = dict(zip(("ALIGN", "ERM"), map(read_run, both), strict=True))
    table = headline_table(runs, "ERM")
    headline = cells(table)
    for title in ("Gap", "Flips"):
        assert headline["ALIGN",][title].value == "10.0"
        assert headline["ALIGN",][title].difference == "−30.0"
        assert headline["ALIGN",][title].best
        assert headline["ERM",][title].value == "40.0"
        # Ten draws, however many domains and objects there are.
        assert float(headline["ERM",][title].error) == pytest.approx(100 * np.sqrt(0.4 * 0.6 / 10), rel=0.1)
    assert headline["ERM",]["Worst group"].value == "35.0"
    subtitles = {column.title: column.subtitle for column in table.columns}
    assert (subtitles["Gap"], subtitles["Worst group"]) == ("in distribution", "conflicting backgrounds")
    # The tests on chosen backgrounds have a table of their own.
    assert list(headline["ERM",]) == [
        *("In distribution", "Background shift", "Out of distribution", "Gap", "Flips", "Worst group"),
        *("Mask IoU", "CAM energy"),
    ]


def test_gaps_are_paired_by_object(both):
    """Every split has its examples in an order of its own."""
    run, other = map(read_run, both)
    label = np.zeros(40, int)
    conflicting = np.tile(np.arange(20) < 2, 2).astype(int)
    concept = np.tile(np.repeat(np.arange(10), 2), 2)
    assert paired.gap_of(run, "id") == pytest.approx(background_gap(label, conflicting, label, concept))
    difference = paired.gap_difference(run, other, "id")
    assert difference.difference == pytest.approx(-0.3)
    assert difference.standard_error == pytest.approx(np.sqrt(0.3 * 0.7 / 10), rel=0.1)
    (sentence,) = (s for s in paired.difference_sentences({"ALIGN": run, "ERM": other}, "ERM") if "gap" in s)
    assert sentence.startswith("ALIGN minus ERM, gap in points: in distribution -30.0 [")
    assert "; out of distribution -30.0 [" in sentence


@pytest.mark.parametrize("change", ["other", "twice"])
def test_objects_that_do_not_pair_give_no_gap(both, change):
    path = both[0] / "predictions.npz"
    arrays = dict(np.load(path))
    objects = arrays["noto/test_aligned/object"]
    objects[0] = "other" if change == "other" else objects[1]
    np.savez(path, **arrays)
    assert paired.gap_of(read_run(both[0]), "id") is None
    assert paired.gap_of(read_run(both[0]), "ood") is not None


def test_accuracy_by_background_of_training_and_of_held_out_vendors(both):
    runs = dict(zip(("ALIGN", "ERM"), map(read_run, both), strict=True))
    table = background_table(runs, "ERM")
    assert [group.title for group in table.groups] == ["Training vendors", "Held-out vendor"]
    assert [column.title for column in table.columns] == [
        *("Random", "Aligned", "Neutral", "Conflicting", "Gap", "Flips", "Worst group")
    ]
    of = cells(table)
    assert of["Training vendors", "ERM"]["Random"].value == "67.0"
    assert of["Held-out vendor", "ERM"]["Random"].value == "64.0"
    assert of["Held-out vendor", "ERM"]["Aligned"].value == "100.0"
    assert of["Training vendors", "ERM"]["Conflicting"].value == "60.0"
    assert of["Held-out vendor", "ALIGN"]["Conflicting"].difference == "+30.0"
    assert of["Held-out vendor", "ERM"]["Gap"].value == "40.0"
    assert of["Held-out vendor", "ERM"]["Worst group"].value == "35.0"


def test_the_worst_group_of_a_test_without_chosen_backgrounds_is_in_the_first_table_too(make_run):
    run = make_run("erm")
    summary = json.loads((run / "summary.json").read_text())
    summary["results"][-1]["worst_group_accuracy"] = 0.25
    (run / "summary.json").write_text(json.dumps(summary))
    table = headline_table({"ERM": read_run(run)}, "")
    (column,) = (column for column in table.columns if column.title == "Worst group")
    assert column.subtitle == "out of distribution"
    assert cells(table)["ERM",]["Worst group"].value == "25.0"


def test_runs_without_such_tests_have_neither_table_nor_columns_nor_pictures(make_run):
    runs = {"ERM": read_run(make_run("erm"))}
    assert background_table(runs) is None
    assert object_cards(runs) == []
    assert not any(column.title in ("Gap", "Flips") for column in headline_table(runs, "").columns)
    page = write_run_report(runs["ERM"].path).read_text()
    assert "By background" not in page


def test_an_old_run_beside_a_new_one_has_dashes(make_run):
    new, old = add_background_tests(make_run("align"), flipped=1), make_run("erm")
    runs = {"ALIGN": read_run(new), "ERM": read_run(old)}
    assert cells(headline_table(runs, "ERM"))["ERM",]["Gap"].value == "–"
    assert cells(background_table(runs, "ERM"))["Training vendors", "ERM"]["Aligned"].value == "–"
    (first, *_) = object_cards(runs)
    assert [prediction.method for prediction in first.views[0].predictions] == [""]


def test_one_object_is_shown_on_all_its_backgrounds_with_what_each_method_says(both):
    runs = dict(zip(("ALIGN", "ERM"), map(read_run, both), strict=True))
    seen, held_out = object_cards(runs)
    assert (seen.domain, held_out.domain, seen.name) == ("noto", "fluent3d", "mammal")
    for card in (seen, held_out):
        assert [view.image.title for view in card.views] == ["Random", "Aligned", "Neutral", "Conflicting"]
        assert [view.image.score for view in card.views] == ["sky", "park", "lab", "city"]
        assert [[p.right for p in view.predictions] for view in card.views] == [[True, True]] * 3 + [[False, False]]
        assert [tile.method for tile in card.views[0].maps] == ["ALIGN", "ERM"]
    uris = [tile.uri for card in (seen, held_out) for view in card.views for tile in (view.image, view.maps[0])]
    assert len(set(uris)) == len(uris) == 16


def test_pages_and_the_terminal_have_them(both, tmp_path):
    for path in (write_run_report(both[0]), write_comparison_report(tmp_path, both)):
        page = path.read_text()
        assert page.index("Gap") < page.index("By background") < page.index("By domain") < page.index("Gallery</h2>")
        assert "on a background that is conflicting" in page
        # Their rows by domain are in a part of the page that is closed at first.
        assert page.index("Conflicting backgrounds") > page.index("Each kind of background by domain")
    text = comparison_table(both)
    assert "Gap %" in text
    assert "Gap, Flips: in distribution." in text
    assert "Worst group: conflicting backgrounds." in text
    assert "Flips: the share of objects whose prediction differs between the two." in text


def test_a_picture_of_other_objects_is_left_out(both):
    path = both[1] / "gallery" / "backgrounds.npz"
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"image": 255 - arrays["image"]}))
    (first, *_) = object_cards({"ALIGN": read_run(both[0]), "ERM": read_run(both[1])})
    assert len(first.views[0].predictions) == 1
    path.write_bytes(b"PK half a file")
    with pytest.raises(ValueError, match=r"backgrounds\.npz is broken"):
        write_run_report(both[1])


def test_what_a_page_says_of_hostile_groups_stays_text(both):
    path = both[0] / "gallery" / "backgrounds.npz"
    arrays = dict(np.load(path))
    np.savez(path, **(arrays | {"group": np.array(["<script>x</script>"] * 8)}))
    summary = json.loads((both[0] / "summary.json").read_text())
    for row in summary["results"]:
        if row["role"] == "aligned":
            row["split"] = "test_<script>"
    (both[0] / "summary.json").write_text(json.dumps(summary))
    page = write_run_report(both[0]).read_text()
    assert "<script" not in page
    assert "&lt;script&gt;" in page
