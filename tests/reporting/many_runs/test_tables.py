import math
import pathlib

import pytest

from align_jax.reporting import names
from align_jax.reporting.columns import ACCURACY, SUFFICIENCY, Metric
from align_jax.reporting.many_runs.captions import legend
from align_jax.reporting.many_runs.cells import Cell, average_cell, cell_over_seeds, marked
from align_jax.reporting.many_runs.report import make_report
from align_jax.reporting.many_runs.tasks import method_of, method_titles
from align_jax.reporting.many_runs.words import printed
from align_jax.runs.collect import CollectedRun, Collection, Result, SweepCell, Weights

VLCS = ("Caltech101", "LabelMe", "SUN09", "VOC2007")
CLASSES = ("bird", "car", "chair", "dog", "person")


def run(algorithm, domain, seed, tests, *, protocol="leave_one_out", config=None, folder="runs", **changed):
    """A run with `tests` as {(role, domain): {metric: value}}."""
    settings = {"optim.lr": "5e-05", "data.image_size": "224", "data.split_seed": "0", "log_every": "20"}
    path = pathlib.Path(folder, algorithm, protocol, domain, str(seed), *map(str, (config or {}).values()))
    held_out = {"in_domain": [], "leave_one_out": [domain], "single_source": [d for d in VLCS if d != domain]}[protocol]
    fields = {
        "path": path,
        "algorithm": algorithm,
        "guidance": "learned" if algorithm == "align" else "none",
        "dataset": "vlcs",
        "protocol": protocol,
        "domain": domain,
        "seed": seed,
        "step": 5000,
        "best_step": 4800,
        "selection": "training_domain_validation",
        "validation_accuracy": 0.9,
        "train_domains": tuple(d for d in VLCS if d != domain) if protocol == "leave_one_out" else (domain,),
        "held_out_domains": tuple(held_out),
        "class_names": CLASSES,
        "results": tuple(
            Result(
                tested,
                role,
                "test",
                100,
                {k: v for k, v in values.items() if k != "classes"},
                values.get("classes", {}),
            )
            for (role, tested), values in tests.items()
        ),
        "config": settings | (config or {}),
    }
    return CollectedRun(**(fields | changed))


def held_out(algorithm, domain, seed, accuracy, **changed):
    return run(algorithm, domain, seed, {("ood", domain): {"accuracy": accuracy}}, **changed)


def report(runs, cells=(), metrics=("accuracy",)):
    return make_report(Collection(tuple(runs), tuple(cells), ()), metrics)


def values(row, scale=100):
    return [None if cell.value is None else round(cell.value * scale, 6) for cell in (*row.cells, row.average)]


def test_a_cell_is_the_mean_and_the_standard_error_over_seeds():
    cell = cell_over_seeds({0: 0.80, 1: 0.82, 2: 0.87})
    # mean 0.83; deviations -0.03, -0.01, 0.04; variance 0.0026 / 2; divided by 3.
    assert math.isclose(cell.value, 0.83)
    assert math.isclose(cell.error, math.sqrt(0.0013 / 3))
    assert (cell.seeds, cell.planned) == (3, 0)
    assert cell_over_seeds({0: 0.8}, planned=3) == Cell(0.8, None, 1, 3)
    assert cell_over_seeds({}, planned=3) == Cell(None, None, 0, 3)


def test_what_is_not_finite_is_left_out_and_counted():
    assert cell_over_seeds({0: 0.5, 1: math.nan, 2: 0.5}) == Cell(0.5, 0.0, 2, 3)
    assert cell_over_seeds({0: math.inf}) == Cell(None, None, 0, 1)
    assert average_cell([{0: 0.5, 1: 0.5}, {0: 0.5, 1: math.nan}]) == Cell(0.5)
    assert average_cell([{0: 0.5}, {0: math.nan}]).value is None


def test_a_method_whose_value_is_not_finite_keeps_its_row():
    diverged = Result("SUN09", "ood", "test", 100, {}, {}, not_finite=("accuracy",))
    runs = [held_out("erm", "SUN09", 0, 0.5), run("align", "SUN09", 0, {}, results=(diverged,))]
    (table,) = report(runs).benchmarks[0].tables
    erm, align = table.groups[0].rows
    column = table.columns.index("SUN09")
    assert (erm.cells[column].value, align.cells[column].value) == (0.5, None)
    assert printed(ACCURACY, align.cells[column]).note == "0/1"
    assert report(runs[1:]).benchmarks[0].tables == ()


def test_an_average_is_over_the_seeds_averages_and_needs_every_part():
    cell = average_cell([{0: 0.1, 1: 0.5}, {0: 0.5, 1: 0.1}])
    # Each seed's average is 0.3: what one domain loses the other gains.
    assert (round(cell.value, 9), round(cell.error, 9), cell.seeds) == (0.3, 0.0, 2)
    assert average_cell([{0: 0.1}, {}]).value is None
    uneven = average_cell([{0: 0.1, 1: 0.3}, {0: 0.6}])
    assert (round(uneven.value, 9), uneven.error, uneven.seeds) == (0.4, None, 0)


@pytest.mark.parametrize(
    ("metric", "cells", "best"),
    [
        # 2 points apart, errors 1 and 1: within sqrt(2)? No.
        (ACCURACY, [(0.80, 0.01), (0.82, 0.01)], [False, True]),
        # 1.2 points apart: within it, but the third is not.
        (ACCURACY, [(0.80, 0.01), (0.812, 0.01), (0.70, 0.01)], [True, True, False]),
        # Every row would be marked: none stands out.
        (ACCURACY, [(0.80, 0.01), (0.812, 0.01)], [False, False]),
        # Printed alike, so alike.
        (ACCURACY, [(0.80001, 0.0), (0.80002, 0.0), (0.5, 0.0)], [True, True, False]),
        (SUFFICIENCY, [(0.3, 0.01), (0.1, 0.01)], [False, True]),
        # How much chance there is in a single seed is not known: the best is bold, and nothing is near it.
        (ACCURACY, [(0.80, None), (0.99, None), (0.989, None)], [False, True, False]),
        (SUFFICIENCY, [(0.3, None), (0.1, None)], [False, True]),
        (ACCURACY, [(0.80001, None), (0.80002, None), (0.5, None)], [True, True, False]),
        (ACCURACY, [(0.5, None), (0.5, None)], [False, False]),
        (ACCURACY, [(0.80, 0.01), (0.804, None)], [False, True]),
        (ACCURACY, [(0.80, 0.01), (0.804, 0.01), (0.803, None)], [True, True, False]),
        # Exactly one error apart, though 0.30000000000000004 - 0.2 > 0.1: every row would be marked.
        (ACCURACY, [(0.1 + 0.2, 0.1), (0.2, 0.0)], [False, False]),
        (ACCURACY, [(0.1 + 0.2, 0.1), (0.2, 0.0), (0.1, 0.0)], [True, True, False]),
        (ACCURACY, [(0.3 + 1e-6, 0.1), (0.2, 0.0)], [True, False]),
        (ACCURACY, [(0.80, 0.01)], [False]),
        (ACCURACY, [(0.80, 0.01), (None, None), (0.9, 0.01)], [False, False, True]),
        (Metric("x", "X"), [(0.1, 0.0), (0.9, 0.0)], [False, False]),
    ],
)
def test_what_is_marked_as_best(metric, cells, best):
    assert [cell.best for cell in marked(metric, [Cell(value, error, 2) for value, error in cells])] == best


def test_methods_by_domains_with_averages_and_missing_cells():
    accuracy = {"Caltech101": 0.97, "LabelMe": 0.65, "SUN09": 0.73, "VOC2007": 0.75}
    runs = [held_out("erm", d, s, accuracy[d] + 0.01 * s) for d in VLCS for s in (0, 1)]
    runs += [held_out("align", d, s, accuracy[d] + 0.05 + 0.01 * s) for d in VLCS[1:] for s in (0, 1)]
    (benchmark,) = report(runs).benchmarks
    (table,) = benchmark.tables
    assert benchmark.title == "VLCS, leave one out"
    assert table.columns == VLCS
    erm, align = table.groups[0].rows
    assert (erm.name, align.name) == ("ERM", "ALIGN")
    assert values(erm) == [97.5, 65.5, 73.5, 75.5, 78.0]
    assert values(align) == [None, 70.5, 78.5, 80.5, None]
    assert math.isclose(erm.average.error, 0.005)
    assert [cell.best for cell in align.cells] == [False, True, True, True]
    assert not erm.average.best
    assert any("not run or not complete" in sentence for sentence in legend([table]))


def test_over_one_seed_the_best_is_bold_and_the_caption_says_what_that_is_worth():
    tests = {
        algorithm: {"accuracy": best, "sufficiency": 1 - best, "classes": dict.fromkeys(CLASSES, best)}
        for algorithm, best in (("erm", 0.5), ("align", 0.6))
    }
    runs = [run(a, d, 0, {("ood", d): tests[a]}) for a in tests for d in VLCS]
    (benchmark,) = report(runs, metrics=("accuracy", "sufficiency")).benchmarks
    for table, best in zip(benchmark.tables, ("largest", "smallest"), strict=True):
        erm, align = table.groups[0].rows
        assert all(cell.best for cell in (*align.cells, align.average))
        assert not any(cell.best for cell in (*erm.cells, erm.average))
        assert f"bold in its column is only the {best} one, no evidence" in table.caption[-1]
    (by_class,) = benchmark.class_tables
    assert "bold in its row is only the largest one, no evidence" in by_class.caption[-1]
    assert any("any difference may be chance" in sentence for sentence in legend(benchmark.tables))
    # With errors, or with nothing in bold, there is nothing to warn of.
    again = [run(a, d, 1, {("ood", d): tests[a]}) for a in tests for d in VLCS]
    for others in ([*runs, *again], runs[:4]):
        (benchmark,) = report(others, metrics=("accuracy",)).benchmarks
        tables = (*benchmark.tables, *benchmark.class_tables)
        assert not any("no evidence" in sentence for table in tables for sentence in table.caption)


def test_published_rows_stand_beside_their_own_protocol_only():
    runs = [held_out("erm", d, 0, 0.5) for d in VLCS]
    runs += [run("erm", d, 0, {("id", d): {"accuracy": 0.5}}, protocol="in_domain") for d in VLCS[:2]]
    runs += [
        run("erm", d, 0, {("ood", t): {"accuracy": 0.5} for t in VLCS if t != d}, protocol="single_source")
        for d in VLCS
    ]
    in_domain, single_source, leave_one_out = (benchmark.tables[0] for benchmark in report(runs).benchmarks)
    rows = {(row.name, row.source): row for row in leave_one_out.published}
    assert values(rows["ERM", "DomainBed"]) == [97.7, 64.3, 73.4, 74.6, 77.5]
    assert values(rows["DRE", "DRE's paper"]) == [98.3, 65.5, 73.8, 80.2, 79.5]
    assert values(rows["IRM", "DomainBed"]) == [None, None, None, None, 78.5]
    assert not any(source == "ALIGN's paper" for _, source in rows)
    # The columns that we lack are there, so that our average is missing where theirs is over more.
    assert in_domain.columns == VLCS
    assert values(in_domain.groups[0].rows[0]) == [50.0, 50.0, None, None, None]
    align = in_domain.published[-1]
    assert (align.name, align.source) == ("ALIGN", "ALIGN's paper")
    assert values(align) == [99.98, 80.23, 82.54, 86.91, 87.415]
    assert single_source.published == ()


@pytest.mark.parametrize(
    "changed", [{"class_names": ("bird", "car")}, {"selection": "oracle"}, {"dataset": "terra_incognita_small"}]
)
def test_published_rows_do_not_stand_beside_other_classes_data_or_an_oracle(changed):
    (benchmark,) = report([held_out("erm", d, 0, 0.5, **changed) for d in VLCS]).benchmarks
    assert benchmark.tables[0].published == ()
    assert benchmark.is_oracle == ("selection" in changed)
    assert ("ORACLE" in benchmark.title) == benchmark.is_oracle


def test_published_rows_are_never_the_best():
    runs = [held_out("erm", d, s, 0.1 + s / 100) for d in VLCS for s in (0, 1)]
    runs += [held_out("align", d, s, 0.3 + s / 100) for d in VLCS for s in (0, 1)]
    (table,) = report(runs).benchmarks[0].tables
    assert all(cell.best for cell in (*table.groups[0].rows[1].cells, table.groups[0].rows[1].average))
    assert not any(cell.best for row in table.published for cell in (*row.cells, row.average))


@pytest.mark.parametrize("dataset", ["vlcs", "mine"])
def test_an_average_over_some_domains_is_none_whatever_the_metric(dataset):
    both = {"accuracy": 0.5, "balanced_accuracy": 0.4, "auc": 0.6}
    keys = ("accuracy", "balanced_accuracy", "auc", "validation_accuracy")
    held = [run("erm", d, 0, {("ood", d): both}, dataset=dataset) for d in VLCS[:2]]
    # A run within one domain knows no other; the others are those that published results have, or a sweep plans.
    within = [run("erm", d, 0, {("id", d): both}, protocol="in_domain", dataset=dataset) for d in VLCS[:2]]
    cells = [planned(r.path, "erm", r.domain, 0, ("data.protocol", "in_domain")) for r in within]
    cells += [planned(d, "erm", d, 0, ("data.protocol", "in_domain")) for d in VLCS[2:]]
    sourced = [run("erm", VLCS[0], 0, {("id", VLCS[0]): both}, protocol="single_source", dataset=dataset)]
    made = report(held + within + sourced, cells if dataset == "mine" else (), keys)
    assert len(made.benchmarks) == 3
    for benchmark in made.benchmarks:
        assert len(benchmark.tables) == 4
        for table in benchmark.tables:
            assert table.columns == VLCS
            (row,) = table.groups[0].rows
            assert row.cells[0].value is not None
            assert (row.cells[2].value, row.cells[3].value, row.average.value) == (None, None, None)


def test_a_metric_that_some_domains_runs_lack_has_no_average_over_the_others():
    runs = [run("erm", d, 0, {("id", d): {"accuracy": 0.5}}, protocol="in_domain", dataset="mine") for d in "abc"]
    runs[0] = run("erm", "a", 0, {("id", "a"): {"accuracy": 0.5, "auc": 0.5}}, protocol="in_domain", dataset="mine")
    accuracy, auc = report(runs, metrics=("accuracy", "auc")).benchmarks[0].tables
    assert values(accuracy.groups[0].rows[0]) == [50.0, 50.0, 50.0, 50.0]
    assert values(auc.groups[0].rows[0]) == [50.0, None, None, None]


def of_size(algorithm, domain, seed, size, **changed):
    """A run that tested so many examples of the domain that it held out."""
    result = Result(domain, "ood", "test", size, {"accuracy": 0.5}, {})
    return run(algorithm, domain, seed, {}, results=(result,), **changed)


def test_versions_of_the_data_are_neither_averaged_nor_set_beside_each_other():
    runs = [of_size("erm", "SUN09", 0, 3282), of_size("erm", "SUN09", 1, 3000), of_size("align", "SUN09", 0, 3000)]
    runs += [of_size("align", "SUN09", 1, None), of_size("erm", "SUN09", 0, 3000, folder="again")]
    first, second = sorted(report(runs).benchmarks, key=lambda benchmark: benchmark.task.examples)
    assert [(row.name, row.cells[2].seeds) for row in second.tables[0].groups[0].rows] == [("ERM", 1), ("ALIGN", 1)]
    # Seed 0 of ERM is in both, as what repeats it is of other data.
    assert [(row.name, row.cells[2].seeds) for row in first.tables[0].groups[0].rows] == [("ERM", 2), ("ALIGN", 1)]
    assert "3,000 examples of SUN09" in first.title
    assert "3,282 examples of SUN09" in second.title
    assert all("numbers of examples" in benchmark.notes[0] for benchmark in (first, second))


def test_what_runs_were_trained_on_tells_versions_apart_where_no_test_does():
    def of_copy(domain, trained_on):
        examples = {(d, "", "train"): trained_on for d in VLCS if d != domain}
        return of_size("erm", domain, 0, 100, examples=examples)

    runs = [of_copy("SUN09", 80), of_copy("LabelMe", 80), of_copy("VOC2007", 70)]
    benchmarks = report(runs).benchmarks
    assert sorted(sorted(r.domain for r in benchmark.runs) for benchmark in benchmarks) == [
        ["LabelMe", "SUN09"],
        ["VOC2007"],
    ]
    assert any("80 examples of Caltech101 (train)" in benchmark.title for benchmark in benchmarks)


def test_published_rows_beside_another_copy_of_the_data_say_so():
    def caption(examples):
        return " ".join(report([of_size("erm", "SUN09", 0, examples)]).benchmarks[0].tables[0].caption)

    assert "another copy of the data: it has 3,282 images of SUN09, the one tested here 3,000." in caption(3000)
    assert "another copy" not in caption(3282)
    assert "another copy" not in caption(None)
    # A part of a domain is not compared with the whole.
    result = Result("SUN09", "id", "test", 656, {"accuracy": 0.5}, {})
    within = run("erm", "SUN09", 0, {}, protocol="in_domain", results=(result,))
    (table,) = report([within]).benchmarks[0].tables
    assert table.published
    assert "another copy" not in " ".join(table.caption)


def test_rows_are_told_apart_by_their_weights_and_not_by_the_path():
    def began_with(seed, path, digit):
        config = {"classifier.pretrained": path}
        return held_out("erm", "SUN09", seed, 0.5, config=config, weights=Weights(path, digit * 64))

    (row,) = report([began_with(0, "b", "0"), began_with(1, "a", "0")]).benchmarks[0].tables[0].groups[0].rows
    assert row.cells[2].seeds == 2
    (benchmark,) = report([began_with(0, "a", "0"), began_with(1, "a", "1")]).benchmarks
    assert [row.cells[2].seeds for row in benchmark.tables[0].groups[0].rows] == [1, 1]
    assert benchmark.settings.differing == {
        "classifier.pretrained": ("a (sha256 000000000000…)", "a (sha256 111111111111…)")
    }


def test_the_rule_of_selection_gives_no_warm_up_to_methods_that_have_none():
    (benchmark,) = report([held_out("erm", "SUN09", 0, 0.5)]).benchmarks
    assert "best on the validation split of the training domains; with guidance" in benchmark.selection


def test_single_source_has_a_group_for_each_source_and_their_mean():
    def tests(source, shift):
        return {("ood", t): {"accuracy": 0.1 * (i + 1) + shift} for i, t in enumerate(VLCS) if t != source}

    runs = [run("erm", d, 0, tests(d, 0.04 * i), protocol="single_source") for i, d in enumerate(VLCS[:2])]
    (table,) = report(runs).benchmarks[0].tables
    assert [group.title for group in table.groups] == [
        "Trained on Caltech101",
        "Trained on LabelMe",
        "Mean of the 2 above",
    ]
    first, second, mean = (group.rows[0] for group in table.groups)
    assert first.cells[0].blank
    assert values(first) == [None, 20.0, 30.0, 40.0, 30.0]
    assert second.cells[1].blank
    assert values(second) == [14.0, None, 34.0, 44.0, 30.666667]
    assert values(mean) == [14.0, 20.0, 32.0, 42.0, 30.333333]
    assert "single" not in table.title


def test_each_role_is_a_table_of_its_own():
    tests = {
        ("id", "noto"): {"accuracy": 0.8},
        ("id", "twemoji"): {"accuracy": 0.6},
        ("background_shift", "noto"): {"accuracy": 0.5},
        ("ood", "fluent3d"): {"accuracy": 0.7},
    }
    changed = {"dataset": "emoji_scenes", "train_domains": ("noto", "twemoji")}
    (benchmark,) = report([run("align", "fluent3d", 0, tests, **changed)]).benchmarks
    ood, identical, shifted = benchmark.tables
    assert [table.role for table in benchmark.tables] == ["ood", "id", "background_shift"]
    assert [group.title for group in identical.groups] == ["Held out: fluent3d"]
    assert identical.columns == ("noto", "twemoji")
    assert values(identical.groups[0].rows[0]) == [80.0, 60.0, 70.0]
    assert ood.columns == ("fluent3d", "noto", "twemoji")
    assert values(ood.groups[0].rows[0]) == [70.0, None, None, None]
    # Of a training domain that was not tested the row lacks a value, and so its average.
    assert shifted.columns == ("noto", "twemoji")
    assert values(shifted.groups[0].rows[0]) == [50.0, None, None]
    # Its splits are its own: of the held-out domain not everything is tested.
    for table in benchmark.tables:
        assert names.role_meaning(table.role, "emoji_scenes") in table.caption[0]


def test_settings_that_differ_make_rows_and_names_of_their_own():
    runs = [held_out("erm", "SUN09", s, 0.5) for s in (0, 1)]
    runs += [held_out("align", "SUN09", s, 0.6) for s in (0, 1)]
    runs += [held_out("align", "SUN09", s, 0.8, config={"optim.lr": "0.1"}) for s in (0, 1)]
    runs += [held_out("align", "SUN09", 0, 0.9, guidance="true", folder="true")]
    # What only changes how a run is carried out does not.
    runs += [held_out("erm", "SUN09", 2, 0.5, config={"log_every": "1"})]
    (benchmark,) = report(runs).benchmarks
    rows = benchmark.tables[0].groups[0].rows
    assert [row.name for row in rows] == [
        "ERM",
        "ALIGN, optim.lr = 0.1",
        "ALIGN, optim.lr = 5e-05",
        "ALIGN, true masks",
    ]
    assert [row.cells[2].seeds for row in rows] == [3, 2, 2, 1]
    assert benchmark.settings.differing == {"optim.lr": ("5e-05", "0.1", "5e-05", "5e-05")}
    assert benchmark.settings.shared == {"data.image_size": "224", "data.split_seed": "0"}


def test_names_are_distinct_whatever_the_files_say():
    runs = [held_out("align", "SUN09", 0, 0.5), held_out("ALIGN", "SUN09", 0, 0.5)]
    runs += [held_out("align", "SUN09", 0, 0.5, guidance="none"), held_out("align", "SUN09", 0, 0.5, guidance="odd")]
    methods = [method_of(r) for r in runs]
    titles = method_titles(methods)
    assert len(set(titles.values())) == len(methods)
    two = [method_of(held_out("align", "SUN09", 0, 0.5, guidance=guidance)) for guidance in ("learned", "none")]
    assert list(method_titles(two).values()) == ["ALIGN", "ALIGN, no guidance"]


@pytest.mark.parametrize(
    ("changed", "said"),
    [
        ({"class_names": ("bird", "car")}, "class names"),
        ({"config": {"data.split_seed": "1"}}, "data.split_seed"),
        ({"selection": "last"}, "selection rule"),
        ({"train_domains": ("Caltech101",)}, "domains"),
    ],
)
def test_what_makes_it_another_test_makes_another_table(changed, said):
    runs = [held_out("erm", "SUN09", 0, 0.5), held_out("erm", "SUN09", 1, 0.9, **changed)]
    benchmarks = report(runs).benchmarks
    assert len(benchmarks) == 2
    assert len({benchmark.title for benchmark in benchmarks}) == 2
    assert {b.tables[0].groups[0].rows[0].cells[b.tables[0].columns.index("SUN09")].seeds for b in benchmarks} == {1}
    assert all(said in benchmark.notes[0] for benchmark in benchmarks)


def test_image_sizes_are_never_averaged():
    runs = [held_out("erm", "SUN09", 0, 0.5), held_out("erm", "SUN09", 1, 0.9, config={"data.image_size": "64"})]
    (benchmark,) = report(runs).benchmarks
    assert [row.name for row in benchmark.tables[0].groups[0].rows] == [
        "ERM, data.image_size = 224",
        "ERM, data.image_size = 64",
    ]
    assert "data.image_size" in benchmark.notes[0]


def test_a_repeated_run_counts_once_and_is_named():
    first, again = held_out("erm", "SUN09", 0, 0.5), held_out("erm", "SUN09", 0, 0.9, folder="again")
    made = report([first, again])
    assert made.benchmarks[0].tables[0].groups[0].rows[0].cells[2].value == 0.5
    assert len(made.problems) == 1
    assert str(again.path) in made.problems[0]


def planned(path, method, domain, seed, *overrides):
    return SweepCell(pathlib.Path("runs"), pathlib.Path(path), method, domain, seed, overrides)


def test_planned_runs_that_are_not_complete_are_missing():
    runs = [held_out("erm", "SUN09", s, 0.5 + s / 10) for s in (0, 1)] + [held_out("align", "LabelMe", 0, 0.6)]
    cells = [planned(r.path, r.algorithm, r.domain, r.seed) for r in runs]
    cells += [planned("a", "erm", "SUN09", 2), planned("b", "align", "SUN09", 0), planned("c", "irm", "SUN09", 0)]
    cells += [planned("d", "align", "SUN09", 0, ("optim.lr", "0.1"))]
    cells += [planned("e", "align", "SUN09", 0, ("data.protocol", "in_domain"))]
    made = report(runs, cells)
    (benchmark,) = made.benchmarks
    rows = {
        row.name: row.cells[benchmark.tables[0].columns.index("SUN09")] for row in benchmark.tables[0].groups[0].rows
    }
    assert {name: (cell.seeds, cell.planned) for name, cell in rows.items()} == {
        "ERM": (2, 3),
        "IRM": (0, 1),
        "ALIGN": (0, 1),
        "ALIGN, optim.lr = 0.1": (0, 1),
    }
    assert benchmark.planned == 7
    # Of which table the last would be part, nothing says.
    assert len(made.problems) == 1
    assert made.problems[0].startswith("e ")


def test_accuracy_by_class_is_the_mean_over_seeds_and_over_the_domains_that_have_the_class():
    def result(bird, car):
        return {"accuracy": 0.5, "classes": {"bird": bird} | ({} if car is None else {"car": car})}

    runs = [
        run("erm", "SUN09", 0, {("ood", "SUN09"): result(0.2, 0.6)}),
        run("erm", "SUN09", 1, {("ood", "SUN09"): result(0.4, 0.6)}),
        run("erm", "LabelMe", 0, {("ood", "LabelMe"): result(0.6, None)}),
        run("erm", "LabelMe", 1, {("ood", "LabelMe"): result(0.8, None)}),
    ]
    (benchmark,) = report(runs).benchmarks
    (table,) = benchmark.class_tables
    found = {(group.title, row.name): row.cells[0].value for group in table.groups for row in group.rows}
    assert math.isclose(found["Held out: SUN09", "bird"], 0.3)
    assert math.isclose(found["Mean of the 2 below", "bird"], 0.5)
    assert math.isclose(found["Mean of the 2 below", "car"], 0.6)
    assert found["Held out: LabelMe", "car"] is None
    assert found["Held out: SUN09", "dog"] is None


def test_the_validation_accuracy_is_a_table_when_asked_for():
    (benchmark,) = report([held_out("erm", "SUN09", 0, 0.5)], metrics=("validation_accuracy", "auc")).benchmarks
    (table,) = benchmark.tables
    assert (table.role, table.columns) == ("validation", VLCS)
    assert values(table.groups[0].rows[0]) == [None, None, 90.0, None, None]
