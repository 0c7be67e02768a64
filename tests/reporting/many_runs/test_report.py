import math
import pathlib

import pytest

from align_jax.reporting import names
from align_jax.reporting.columns import DEFAULT_METRICS
from align_jax.reporting.many_runs.documents import facts
from align_jax.reporting.many_runs.legend import legend
from align_jax.reporting.many_runs.over_seeds import SeedMean
from align_jax.reporting.many_runs.report import make_report
from align_jax.reporting.many_runs.tasks import row_titles, setup_of
from align_jax.runs.collect import Collection, PlannedCell
from align_jax.runs.read import Result, Run, Weights

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
    return Run(**(fields | changed))


def held_out(algorithm, domain, seed, accuracy, **changed):
    return run(algorithm, domain, seed, {("ood", domain): {"accuracy": accuracy}}, **changed)


def report(runs, cells=(), metrics=("accuracy",)):
    return make_report(Collection(tuple(runs), tuple(cells), ()), metrics)


def numbers(by_domain):
    """The means of each of our rows; the last one is their average."""
    rows = [row for row in by_domain.table.rows if not row.source]
    width = len(by_domain.means) // len(rows)
    averages = by_domain.averages or [SeedMean()] * len(rows)
    return [[*by_domain.means[i * width : (i + 1) * width], averages[i]] for i in range(len(rows))]


def values(means, scale=100):
    return [None if mean.value is None else round(mean.value * scale, 6) for mean in means]


def texts(row):
    return [cell.value for cell in row.cells]


def published(by_domain):
    return [row for row in by_domain.table.rows if row.source]


def row_names(by_domain):
    return [row.names[0] for row in by_domain.table.rows if not row.source]


def seeds_of_sun09(by_domain):
    """Over how many seeds each row's value on SUN09 is."""
    column = column_titles(by_domain).index("SUN09")
    return {name: row[column].seeds for name, row in zip(row_names(by_domain), numbers(by_domain), strict=True)}


def column_titles(by_domain):
    """The domains."""
    return tuple(column.title for column in by_domain.table.columns if not column.is_mean)


def test_a_method_whose_value_is_not_finite_keeps_its_row():
    diverged = Result("SUN09", "ood", "test", 100, {}, {}, not_finite=("accuracy",))
    runs = [held_out("erm", "SUN09", 0, 0.5), run("align", "SUN09", 0, {}, results=(diverged,))]
    (by_domain,) = report(runs).tasks[0].tables
    erm, align = numbers(by_domain)
    column = column_titles(by_domain).index("SUN09")
    assert (erm[column].value, align[column].value) == (0.5, None)
    assert by_domain.table.rows[1].cells[column].note == "0/1"
    assert report(runs[1:]).tasks[0].tables == ()


def test_methods_by_domains_with_averages_and_missing_cells():
    accuracy = {"Caltech101": 0.97, "LabelMe": 0.65, "SUN09": 0.73, "VOC2007": 0.75}
    runs = [held_out("erm", d, s, accuracy[d] + 0.01 * s) for d in VLCS for s in (0, 1)]
    runs += [held_out("align", d, s, accuracy[d] + 0.05 + 0.01 * s) for d in VLCS[1:] for s in (0, 1)]
    (task,) = report(runs).tasks
    (by_domain,) = task.tables
    assert task.title == "VLCS, leave one out"
    assert [column.title for column in by_domain.table.columns] == [*VLCS, "Average"]
    assert row_names(by_domain) == ["ERM", "ALIGN"]
    erm, align = numbers(by_domain)
    assert values(erm) == [97.5, 65.5, 73.5, 75.5, 78.0]
    assert values(align) == [None, 70.5, 78.5, 80.5, None]
    assert math.isclose(erm[-1].error, 0.005)
    assert [[cell.best for cell in row.cells] for row in by_domain.table.groups[0].rows] == [
        [False, False, False, False, False],
        [False, True, True, True, False],
    ]
    assert texts(by_domain.table.rows[1]) == ["–", "70.5", "78.5", "80.5", "–"]
    assert any("not run or not complete" in sentence for sentence in legend([by_domain]))


def test_over_one_seed_the_best_is_bold_and_the_caption_says_what_that_is_worth():
    tests = {
        algorithm: {"accuracy": best, "sufficiency": 1 - best, "classes": dict.fromkeys(CLASSES, best)}
        for algorithm, best in (("erm", 0.5), ("align", 0.6))
    }
    runs = [run(a, d, 0, {("ood", d): tests[a]}) for a in tests for d in VLCS]
    (task,) = report(runs, metrics=("accuracy", "sufficiency")).tasks
    for by_domain, best in zip(task.tables, ("largest", "smallest"), strict=True):
        erm, align = by_domain.table.groups[0].rows
        assert all(cell.best for cell in align.cells)
        assert not any(cell.best for cell in erm.cells)
        assert f"bold in its column is only the {best} one, no evidence" in by_domain.table.caption[-1]
    (by_class,) = task.class_tables
    assert "bold in its row is only the largest one, no evidence" in by_class.caption[-1]
    assert any("any difference may be chance" in sentence for sentence in legend(task.tables))
    # With errors, or with nothing in bold, there is nothing to warn of.
    again = [run(a, d, 1, {("ood", d): tests[a]}) for a in tests for d in VLCS]
    for others in ([*runs, *again], runs[:4]):
        (task,) = report(others, metrics=("accuracy",)).tasks
        tables = (*(by_domain.table for by_domain in task.tables), *task.class_tables)
        assert not any("no evidence" in sentence for table in tables for sentence in table.caption)


def test_published_rows_stand_beside_their_own_protocol_only():
    runs = [held_out("erm", d, 0, 0.5) for d in VLCS]
    runs += [run("erm", d, 0, {("id", d): {"accuracy": 0.5}}, protocol="in_domain") for d in VLCS[:2]]
    runs += [
        run("erm", d, 0, {("ood", t): {"accuracy": 0.5} for t in VLCS if t != d}, protocol="single_source")
        for d in VLCS
    ]
    in_domain, single_source, leave_one_out = (task.tables[0] for task in report(runs).tasks)
    rows = {(row.names[0], row.source): row for row in published(leave_one_out)}
    assert texts(rows["ERM", "DomainBed"]) == ["97.7", "64.3", "73.4", "74.6", "77.5"]
    assert texts(rows["DRE", "DRE's paper"]) == ["98.3", "65.5", "73.8", "80.2", "79.5"]
    assert texts(rows["IRM", "DomainBed"]) == ["–", "–", "–", "–", "78.5"]
    assert not any(source == "ALIGN's paper" for _, source in rows)
    # The columns that we lack are there, so that our average is missing where theirs is over more.
    assert column_titles(in_domain) == VLCS
    assert values(numbers(in_domain)[0]) == [50.0, 50.0, None, None, None]
    align = published(in_domain)[-1]
    assert (align.names, align.source) == (("ALIGN",), "ALIGN's paper")
    # The paper prints no average. That of its columns is 87.415.
    assert texts(align) == ["99.98", "80.23", "82.54", "86.91", "87.41"]
    assert published(single_source) == []


@pytest.mark.parametrize(
    "changed", [{"class_names": ("bird", "car")}, {"selection": "oracle"}, {"dataset": "terra_incognita_small"}]
)
def test_published_rows_do_not_stand_beside_other_classes_data_or_an_oracle(changed):
    (task,) = report([held_out("erm", d, 0, 0.5, **changed) for d in VLCS]).tasks
    assert published(task.tables[0]) == []
    assert ("ORACLE" in task.title) == ("selection" in changed)


def test_published_rows_are_never_the_best():
    runs = [held_out("erm", d, s, 0.1 + s / 100) for d in VLCS for s in (0, 1)]
    runs += [held_out("align", d, s, 0.3 + s / 100) for d in VLCS for s in (0, 1)]
    (by_domain,) = report(runs).tasks[0].tables
    assert all(cell.best for cell in by_domain.table.rows[1].cells)
    assert published(by_domain)
    assert not any(cell.best for row in published(by_domain) for cell in row.cells)


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
    assert len(made.tasks) == 3
    for task in made.tasks:
        assert len(task.tables) == 4
        for by_domain in task.tables:
            assert column_titles(by_domain) == VLCS
            (row,) = numbers(by_domain)
            assert row[0].value is not None
            assert [mean.value for mean in row[2:]] == [None, None, None]


def test_a_metric_that_some_domains_runs_lack_has_no_average_over_the_others():
    runs = [run("erm", d, 0, {("id", d): {"accuracy": 0.5}}, protocol="in_domain", dataset="mine") for d in "abc"]
    runs[0] = run("erm", "a", 0, {("id", "a"): {"accuracy": 0.5, "auc": 0.5}}, protocol="in_domain", dataset="mine")
    accuracy, auc = report(runs, metrics=("accuracy", "auc")).tasks[0].tables
    assert values(numbers(accuracy)[0]) == [50.0, 50.0, 50.0, 50.0]
    assert values(numbers(auc)[0]) == [50.0, None, None, None]


def of_size(algorithm, domain, seed, size, **changed):
    """A run that tested so many examples of the domain that it held out."""
    result = Result(domain, "ood", "test", size, {"accuracy": 0.5}, {})
    return run(algorithm, domain, seed, {}, results=(result,), **changed)


def test_versions_of_the_data_are_neither_averaged_nor_set_beside_each_other():
    runs = [of_size("erm", "SUN09", 0, 3282), of_size("erm", "SUN09", 1, 3000), of_size("align", "SUN09", 0, 3000)]
    runs += [of_size("align", "SUN09", 1, None), of_size("erm", "SUN09", 0, 3000, folder="again")]
    first, second = sorted(report(runs).tasks, key=lambda task: task.task.examples)
    assert seeds_of_sun09(second.tables[0]) == {"ERM": 1, "ALIGN": 1}
    # Seed 0 of ERM is in both, as what repeats it is of other data.
    assert seeds_of_sun09(first.tables[0]) == {"ERM": 2, "ALIGN": 1}
    assert "3,000 examples of SUN09" in first.title
    assert "3,282 examples of SUN09" in second.title
    assert all("numbers of examples" in task.notes[0] for task in (first, second))


def test_what_runs_were_trained_on_tells_versions_apart_where_no_test_does():
    def of_copy(domain, trained_on):
        examples = {(d, "train"): trained_on for d in VLCS if d != domain}
        return of_size("erm", domain, 0, 100, examples=examples)

    runs = [of_copy("SUN09", 80), of_copy("LabelMe", 80), of_copy("VOC2007", 70)]
    tasks = report(runs).tasks
    assert sorted(sorted(r.domain for r in task.runs) for task in tasks) == [["LabelMe", "SUN09"], ["VOC2007"]]
    assert any("80 examples of Caltech101 (train)" in task.title for task in tasks)


def test_published_rows_beside_another_copy_of_the_data_say_so():
    def caption(examples):
        return " ".join(report([of_size("erm", "SUN09", 0, examples)]).tasks[0].tables[0].table.caption)

    assert "another copy of the data: it has 3,282 images of SUN09, the one tested here 3,000." in caption(3000)
    assert "another copy" not in caption(3282)
    assert "another copy" not in caption(None)
    # A part of a domain is not compared with the whole.
    result = Result("SUN09", "id", "test", 656, {"accuracy": 0.5}, {})
    within = run("erm", "SUN09", 0, {}, protocol="in_domain", results=(result,))
    (by_domain,) = report([within]).tasks[0].tables
    assert published(by_domain)
    assert "another copy" not in " ".join(by_domain.table.caption)


def test_rows_are_told_apart_by_their_weights_and_not_by_the_path():
    def began_with(seed, path, digit):
        config = {"classifier.pretrained": path}
        return held_out("erm", "SUN09", seed, 0.5, config=config, weights=Weights(path, digit * 64))

    (by_domain,) = report([began_with(0, "b", "0"), began_with(1, "a", "0")]).tasks[0].tables
    assert list(seeds_of_sun09(by_domain).values()) == [2]
    (task,) = report([began_with(0, "a", "0"), began_with(1, "a", "1")]).tasks
    assert list(seeds_of_sun09(task.tables[0]).values()) == [1, 1]
    assert task.settings.differing == {
        "classifier.pretrained": ("a (sha256 000000000000…)", "a (sha256 111111111111…)")
    }


def test_the_rule_of_selection_gives_no_warm_up_to_methods_that_have_none():
    (task,) = report([held_out("erm", "SUN09", 0, 0.5)]).tasks
    assert "best on the validation split of the training domains; with guidance" in facts(task)["Checkpoint"]


def test_single_source_has_a_group_for_each_source_and_their_mean():
    def tests(source, shift):
        return {("ood", t): {"accuracy": 0.1 * (i + 1) + shift} for i, t in enumerate(VLCS) if t != source}

    runs = [run("erm", d, 0, tests(d, 0.04 * i), protocol="single_source") for i, d in enumerate(VLCS[:2])]
    (by_domain,) = report(runs).tasks[0].tables
    assert [group.title for group in by_domain.table.groups] == [
        "Trained on Caltech101",
        "Trained on LabelMe",
        "Mean of the 2 above",
    ]
    first, second, mean = numbers(by_domain)
    assert first[0].blank
    assert values(first) == [None, 20.0, 30.0, 40.0, 30.0]
    assert texts(by_domain.table.rows[0]) == ["", "20.0", "30.0", "40.0", "30.0"]
    assert second[1].blank
    assert values(second) == [14.0, None, 34.0, 44.0, 30.666667]
    assert values(mean) == [14.0, 20.0, 32.0, 42.0, 30.333333]
    assert "single" not in by_domain.table.title


def test_each_role_is_a_table_of_its_own():
    tests = {
        ("id", "noto"): {"accuracy": 0.8},
        ("id", "twemoji"): {"accuracy": 0.6},
        ("background_shift", "noto"): {"accuracy": 0.5},
        ("ood", "fluent3d"): {"accuracy": 0.7},
    }
    changed = {"dataset": "emoji_scenes", "train_domains": ("noto", "twemoji")}
    (task,) = report([run("align", "fluent3d", 0, tests, **changed)]).tasks
    ood, identical, shifted = task.tables
    assert [by_domain.role for by_domain in task.tables] == ["ood", "id", "background_shift"]
    assert [group.title for group in identical.table.groups] == ["Held out: fluent3d"]
    assert column_titles(identical) == ("noto", "twemoji")
    assert values(numbers(identical)[0]) == [80.0, 60.0, 70.0]
    assert column_titles(ood) == ("fluent3d", "noto", "twemoji")
    assert values(numbers(ood)[0]) == [70.0, None, None, None]
    # Of a training domain that was not tested the row lacks a value, and so its average.
    assert column_titles(shifted) == ("noto", "twemoji")
    assert values(numbers(shifted)[0]) == [50.0, None, None]
    # Its splits are its own: of the held-out domain not everything is tested.
    for by_domain in task.tables:
        assert names.role_meaning(by_domain.role, "emoji_scenes") in by_domain.table.caption[0]


def test_backgrounds_have_tables_of_accuracy_and_plain_tests_of_gap_and_flips():
    tests = {
        ("id", "noto"): {"accuracy": 0.8, "auc": 0.9, "gap": 0.4, "flips": 0.45},
        ("conflicting", "noto"): {"accuracy": 0.5, "auc": 0.9},
        ("ood", "fluent3d"): {"accuracy": 0.7, "auc": 0.9, "gap": -0.1, "flips": 0.2},
        ("ood_conflicting", "fluent3d"): {"accuracy": 0.4, "auc": 0.9},
    }
    changed = {"dataset": "emoji_scenes", "train_domains": ("noto",)}
    (task,) = report([run("align", "fluent3d", 0, tests, **changed)], metrics=DEFAULT_METRICS).tasks
    assert [(by_domain.role, by_domain.metric.key) for by_domain in task.tables] == [
        *(("ood", key) for key in ("accuracy", "auc", "gap", "flips")),
        *(("id", key) for key in ("accuracy", "auc", "gap", "flips")),
        ("conflicting", "accuracy"),
        ("ood_conflicting", "accuracy"),
    ]
    gap = next(by_domain for by_domain in task.tables if (by_domain.role, by_domain.metric.key) == ("ood", "gap"))
    assert gap.table.title == "Gap, out of distribution, % ↓"
    assert texts(gap.table.rows[0])[0] == "−10.0"
    assert "Gap: accuracy on a class's own background minus" in gap.table.caption[1]


def test_settings_that_differ_make_rows_and_names_of_their_own():
    runs = [held_out("erm", "SUN09", s, 0.5) for s in (0, 1)]
    runs += [held_out("align", "SUN09", s, 0.6) for s in (0, 1)]
    runs += [held_out("align", "SUN09", s, 0.8, config={"optim.lr": "0.1"}) for s in (0, 1)]
    runs += [held_out("align", "SUN09", 0, 0.9, guidance="true", folder="true")]
    # What only changes how a run is carried out does not.
    runs += [held_out("erm", "SUN09", 2, 0.5, config={"log_every": "1"})]
    (task,) = report(runs).tasks
    assert list(seeds_of_sun09(task.tables[0]).items()) == [
        ("ERM", 3),
        ("ALIGN, optim.lr = 0.1", 2),
        ("ALIGN, optim.lr = 5e-05", 2),
        ("ALIGN, true masks", 1),
    ]
    assert task.settings.differing == {"optim.lr": ("5e-05", "0.1", "5e-05", "5e-05")}
    assert task.settings.shared == {"data.image_size": "224", "data.split_seed": "0"}


def test_names_are_distinct_whatever_the_files_say():
    runs = [held_out("align", "SUN09", 0, 0.5), held_out("ALIGN", "SUN09", 0, 0.5)]
    runs += [held_out("align", "SUN09", 0, 0.5, guidance="none"), held_out("align", "SUN09", 0, 0.5, guidance="odd")]
    setups = [setup_of(r) for r in runs]
    titles = row_titles(setups)
    assert len(set(titles.values())) == len(setups)
    two = [setup_of(held_out("align", "SUN09", 0, 0.5, guidance=guidance)) for guidance in ("learned", "none")]
    assert list(row_titles(two).values()) == ["ALIGN", "ALIGN, no guidance"]


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
    tasks = report(runs).tasks
    assert len(tasks) == 2
    assert len({task.title for task in tasks}) == 2
    assert [seeds_of_sun09(task.tables[0]) for task in tasks] == [{"ERM": 1}, {"ERM": 1}]
    assert all(said in task.notes[0] for task in tasks)


def test_image_sizes_are_never_averaged():
    runs = [held_out("erm", "SUN09", 0, 0.5), held_out("erm", "SUN09", 1, 0.9, config={"data.image_size": "64"})]
    (task,) = report(runs).tasks
    assert row_names(task.tables[0]) == ["ERM, data.image_size = 224", "ERM, data.image_size = 64"]
    assert "data.image_size" in task.notes[0]


def test_a_repeated_run_counts_once_and_is_named():
    first, again = held_out("erm", "SUN09", 0, 0.5), held_out("erm", "SUN09", 0, 0.9, folder="again")
    made = report([first, again])
    assert numbers(made.tasks[0].tables[0])[0][2].value == 0.5
    assert len(made.problems) == 1
    assert str(again.path) in made.problems[0]


def planned(path, method, domain, seed, *overrides):
    return PlannedCell(pathlib.Path("runs"), pathlib.Path(path), method, domain, seed, overrides)


def test_planned_runs_that_are_not_complete_are_missing():
    runs = [held_out("erm", "SUN09", s, 0.5 + s / 10) for s in (0, 1)] + [held_out("align", "LabelMe", 0, 0.6)]
    cells = [planned(r.path, r.algorithm, r.domain, r.seed) for r in runs]
    cells += [planned("a", "erm", "SUN09", 2), planned("b", "align", "SUN09", 0), planned("c", "irm", "SUN09", 0)]
    cells += [planned("d", "align", "SUN09", 0, ("optim.lr", "0.1"))]
    cells += [planned("e", "align", "SUN09", 0, ("data.protocol", "in_domain"))]
    made = report(runs, cells)
    (task,) = made.tasks
    (by_domain,) = task.tables
    column = column_titles(by_domain).index("SUN09")
    rows = dict(zip(row_names(by_domain), numbers(by_domain), strict=True))
    assert {name: (row[column].seeds, row[column].planned) for name, row in rows.items()} == {
        "ERM": (2, 3),
        "IRM": (0, 1),
        "ALIGN": (0, 1),
        "ALIGN, optim.lr = 0.1": (0, 1),
    }
    assert task.planned == 7
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
    (task,) = report(runs).tasks
    (table,) = task.class_tables
    found = {(group.title, row.names[0]): row.cells[0].text for group in table.groups for row in group.rows}
    assert found["Held out: SUN09", "bird"] == "30.0 ± 10.0"
    assert found["Mean of the 2 below", "bird"] == "50.0 ± 10.0"
    assert found["Mean of the 2 below", "car"] == "60.0 ± 0.0"
    assert found["Held out: LabelMe", "car"] == "–"
    assert found["Held out: SUN09", "dog"] == "–"


def test_the_validation_accuracy_is_a_table_when_asked_for():
    (task,) = report([held_out("erm", "SUN09", 0, 0.5)], metrics=("validation_accuracy", "auc")).tasks
    (by_domain,) = task.tables
    assert (by_domain.role, column_titles(by_domain)) == ("validation", VLCS)
    assert values(numbers(by_domain)[0]) == [None, None, 90.0, None, None]


def test_a_setting_that_an_earlier_version_did_not_have_is_its_default():
    earlier = held_out("erm", "SUN09", 0, 0.5)
    later = [
        held_out("erm", "SUN09", seed, 0.5, config={"masker.name": name})
        for seed, name in ((1, "encoder_decoder"), (2, "mine"))
    ]
    (task,) = report([earlier, *later]).tasks
    rows = [task.rows[run.path] for run in (earlier, *later)]
    assert rows[0] == rows[1] != rows[2]
