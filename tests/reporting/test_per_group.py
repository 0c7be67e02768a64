"""Accuracy by group: the worst of each test, and all of a run's."""

import pathlib

from align_jax.reporting.per_group import MOST_SHOWN, per_group_table, worst_group_sentences, worst_group_table
from align_jax.runs.read import Result
from align_jax.runs.read_groups import Group
from tests.finished_run import bare_run


def run(name, *rows):
    """Tests as (domain, role, groups); the worst group is the first one."""
    results = [
        Result(domain, role, "test", None, {}, {}, groups=groups, worst_group=groups[0] if groups else None)
        for domain, role, groups in rows
    ]
    return bare_run(pathlib.Path(name), name, results, class_names=("land bird", "water bird"))


OF_A = (Group("land bird", "water", 20, 0.25), Group("land bird", "land", 30, 0.9), Group("water bird", "land", 4, 0.0))
OF_B = (Group("water bird", "water", 10, 0.3), Group("land bird", "water", 20, 0.45))
ERM = run("erm", ("A", "id", OF_A), ("B", "id", OF_B), ("C", "ood", ()))
OTHER = run("other", ("A", "id", OF_B))


def texts(table):
    return {g.title: {row.names[0]: [(c.value, c.note) for c in row.cells] for row in g.rows} for g in table.groups}


def test_a_runs_groups_are_pooled_over_the_domains_of_a_test_and_the_worst_large_one_is_marked():
    table = per_group_table(ERM)
    assert [column.title for column in table.columns] == ["land", "water"]
    assert texts(table) == {
        "In distribution": {
            "land bird": [("90.0", "30"), ("35.0", "40")],
            "water bird": [("0.0", "4"), ("30.0", "10")],
        }
    }
    assert [[cell.best for cell in row.cells] for row in table.groups[0].rows] == [[False, False], [False, True]]


def test_environments_beyond_those_that_a_page_shows_are_counted():
    many = tuple(Group("land bird", f"place {number:02d}", 10 + number, 0.5) for number in range(MOST_SHOWN + 3))
    table = per_group_table(run("erm", ("A", "id", many)))
    assert [column.title for column in table.columns] == [f"place {number:02d}" for number in range(3, MOST_SHOWN + 3)]
    assert table.caption[-1].startswith("3 environments")
    assert not any(cell.best for cell in table.groups[0].rows[0].cells), "all are alike"


def test_every_test_says_which_group_was_worst():
    assert texts(worst_group_table({"ERM": ERM, "Other": OTHER})) == {
        "In distribution": {
            "A": [("25.0", "land bird, water: 20 images"), ("30.0", "water bird, water: 10 images")],
            "B": [("30.0", "water bird, water: 10 images"), ("–", "")],
        }
    }
    assert [column.title for column in worst_group_table({"ERM": ERM}).columns] == ["Worst group"]


def test_without_groups_there_is_nothing_to_show():
    without = run("erm", ("C", "ood", ()))
    assert worst_group_table({"ERM": without}).groups == per_group_table(without).groups == ()
    assert worst_group_sentences([{"domain": "C", "split": "test"}]) == []


def test_an_evaluation_names_the_worst_groups_in_a_sentence():
    worst = {"class": "land bird", "group": "water", "examples": 1200}
    assert worst_group_sentences([{"domain": "A", "split": "test", "worst_group": worst}]) == [
        "Worst group: A (test) land bird, water: 1,200 images."
    ]
