"""Accuracy by class, on a run's page and on a comparison's."""

import pathlib

from align_jax.reporting.per_class import per_class_table
from align_jax.runs.read import Result
from tests.finished_run import bare_run


def run(name, *rows):
    results = [Result(domain, role, "test", None, {}, by_class) for domain, role, by_class in rows]
    return bare_run(pathlib.Path(name), name, results, class_names=("bird", "car"))


ALIGN = run("align", ("L38", "id", {"bird": 0.5, "car": 1.0}), ("L43", "ood", {"bird": 0.25}))
ERM = run("erm", ("L38", "id", {"bird": 0.7, "car": 1.0}), ("L43", "ood", {"bird": 0.2}))


def texts(table):
    return {g.title: {row.names[0]: [cell.value for cell in row.cells] for row in g.rows} for g in table.groups}


def test_a_run_has_a_column_a_domain():
    table = per_class_table({"ALIGN": ALIGN})
    assert [column.title for column in table.columns] == ["L38", "L43"]
    assert texts(table) == {
        "In distribution": {"bird": ["50.0", "–"], "car": ["100.0", "–"]},
        "Out of distribution": {"bird": ["–", "25.0"]},
    }


def test_several_runs_have_a_column_each_and_the_better_one_is_marked():
    table = per_class_table({"ALIGN": ALIGN, "ERM": ERM})
    assert texts(table)["In distribution"] == {"bird": ["50.0", "70.0"], "car": ["100.0", "100.0"]}
    marked = [[cell.best for cell in row.cells] for row in table.groups[0].rows]
    assert marked == [[False, True], [False, False]]


def test_runs_without_it_give_no_table():
    assert per_class_table({"old": run("erm", ("L38", "id", {}))}).groups == ()
