"""The study on emoji_scenes: its runs, its shares of distances, its tables."""

import csv
import dataclasses
import io
import json
from pathlib import Path

import numpy as np
import pytest

from align_jax.algorithms import ALGORITHMS
from align_jax.cli.train import parse
from align_jax.configuration import check
from align_jax.errors import UserError
from align_jax.runs.read import Result as TestResult
from align_jax.runs.read_groups import Group
from align_jax.tables.markdown import markdown
from experiments.emoji_scenes.background_table import background_table, gap_table, worst_group_of_all_vendors
from experiments.emoji_scenes.plan import CEILING, ERM, REDRAWN, ROWS, SWAP, TRUE_MASKS, cell, cells
from experiments.emoji_scenes.shares import gain
from experiments.emoji_scenes.tables import (
    accuracy_table,
    as_csv,
    complete_runs,
    faithfulness_table,
    gain_table,
    of_common_seeds,
    worst_domain,
)
from tests.finished_run import BARE

ROOT = Path(__file__).parents[2]
CONCEPTS = np.repeat(np.arange(60), 10)


def correct(accuracy, seeds=5, spread=0.0, seed=0):
    """Right or wrong for each seed and image, with concepts that differ by `spread`."""
    generator = np.random.default_rng(seed)
    of_concept = accuracy + spread * generator.standard_normal(60)[CONCEPTS]
    return (generator.uniform(size=(seeds, 600)) < of_concept).astype(np.float64)


# ---- which runs ------------------------------------------------------------------------------------------------------


def test_every_run_is_there_once_with_a_config_that_works():
    runs = cells()
    assert len({run.path for run in runs}) == len(runs)
    assert [run.seed for run in runs] == sorted(run.seed for run in runs)
    for row in ROWS:
        run = cell(row, next(iter(row.seeds)), 0)
        assert run in runs
        flags = [f"--config.{field}={value}" for field, value in run.settings().items()]
        config, _ = parse(["main.py", f"--config={ROOT / 'configs' / 'quickstart.py'}", "--workdir=unused", *flags])
        check(config)
        assert config.algorithm == row.algorithm
    assert len({row.name for row in ROWS}) == len(ROWS)


def test_every_row_has_its_seeds():
    for row in ROWS:
        seeds = {correlation: len(seeds) for correlation, seeds in row.seeds.items()}
        if row in (ERM, SWAP):
            assert seeds == {"0.3": 5, "0.7": 5, "0.9": 5}
        elif row.name in ("DRE", "ALIGN", TRUE_MASKS.name, "background swap, true masks"):
            assert seeds == {"0.3": 5, "0.7": 5}
        elif row in (CEILING, REDRAWN):
            assert seeds == {"0" if row is CEILING else "0.7": 5}
        else:
            assert seeds == {"0.7": 2}
    assert {row.algorithm for row in ROWS} == set(ALGORITHMS)


def test_the_ablation_changes_one_part_of_the_method_at_a_time():
    own = ALGORITHMS["background_swap"].settings
    for row in ROWS:
        if row.name.startswith("background swap, ") and row.algorithm == "background_swap" and len(row.settings) == 1:
            ((field, value),) = row.settings.items()
            default = own[field.removeprefix("background_swap.")].default
            assert str(default) != value, row.name


# ---- shares ----------------------------------------------------------------------------------------------------------


def test_half_of_the_way_is_half():
    reference, method, ceiling = correct(0.5, seed=1), correct(0.6, seed=2), correct(0.7, seed=3)
    found = gain(method, reference, ceiling, concept=CONCEPTS)
    assert found.difference.value == pytest.approx(method.mean() - reference.mean())
    assert found.difference.interval[0] < found.difference.value < found.difference.interval[1]
    expected = (method.mean() - reference.mean()) / (ceiling.mean() - reference.mean())
    assert found.share.value == pytest.approx(expected)
    assert 0.2 < found.share.interval[0] < expected < found.share.interval[1] < 0.8
    assert gain(ceiling, reference, ceiling, concept=CONCEPTS).share.value == 1
    assert gain(reference, reference, ceiling, concept=CONCEPTS).share.value == 0


def test_a_distance_that_may_be_zero_has_no_shares():
    assert gain(correct(0.6, seed=1), correct(0.6, seed=2), correct(0.605, seed=3), concept=CONCEPTS).share is None


def test_a_distance_that_is_hardly_there_leaves_shares_wide_open():
    """The distance is positive in all but a few draws, which count as infinite."""
    reference = np.zeros((1, 600))
    ceiling = np.zeros((1, 600))
    ceiling[0, CONCEPTS < 5] = 1.0
    method = np.zeros((1, 600))
    method[0, CONCEPTS == 59] = 1.0
    found = gain(method, reference, ceiling, concept=CONCEPTS, resamples=500)
    assert found.share.value == pytest.approx(1 / 5)
    assert found.share.interval[0] == 0
    assert found.share.interval[1] > 0.4


def test_concepts_count_by_their_images():
    """One concept with many images outweighs many with one, in every draw as in the mean."""
    concept = np.concatenate([np.zeros(300, int), np.arange(1, 31)])
    right = (concept == 0).astype(np.float64)[None]
    found = gain(right, np.zeros_like(right), concept=concept)
    assert found.difference.value == pytest.approx(300 / 330)
    # Drawn about once in 31, the large concept is in a draw or it is not: 0 without it, 300 / 330 and more with it.
    low, high = found.difference.interval
    assert low == 0
    assert high > 300 / 330
    assert found.share is None


def test_two_seeds_vary_as_much_as_they_differ():
    """The spread over seeds is that of an unbiased estimate: of two that differ by d, d / 2."""
    apart = np.stack([np.full(600, 0.0), np.full(600, 1.0)])
    low, high = gain(apart, np.full((2, 600), 0.5), concept=CONCEPTS).difference.interval
    assert (low, high) == pytest.approx((-(2**0.5) / 2, 2**0.5 / 2))


def test_an_effect_of_the_seed_on_all_methods_cancels_in_a_difference():
    """Seeds differ by 0.4, and the method is 0.1 ahead in each: only the gain remains."""
    reference = np.stack([np.full(600, 0.2), np.full(600, 0.6)])
    found = gain(reference + 0.1, reference, reference + 0.2, concept=CONCEPTS)
    assert found.difference.interval == pytest.approx((0.1, 0.1))
    assert found.share.interval == pytest.approx((0.5, 0.5))


def test_concepts_that_differ_cancel_in_pairs_and_seeds_that_differ_widen():
    """A concept that is hard for all methods adds no error to a difference; a change between seeds does."""
    hard = np.repeat(np.random.default_rng(0).uniform(0.2, 0.8, 60), 10)
    draw = lambda shift, seed: (  # noqa: E731
        np.random.default_rng(seed).uniform(size=(5, 600)) < hard + shift
    ).astype(np.float64)
    width = lambda found: found.difference.interval[1] - found.difference.interval[0]  # noqa: E731
    paired = gain(draw(0.1, 1), draw(0, 2), draw(0.2, 3), concept=CONCEPTS)
    assert width(paired) < 0.1
    uneven = np.concatenate([draw(0.3, 1)[:2], draw(-0.1, 1)[2:]])
    assert width(gain(uneven, draw(0, 2), draw(0.2, 3), concept=CONCEPTS)) > 2 * width(paired)


# ---- tables ----------------------------------------------------------------------------------------------------------


def write_run(path, accuracies, seed):
    """A complete run's folder with all that the tables read; each test set has its own images."""
    (path / "report").mkdir(parents=True)
    results, arrays = [], {}
    for (domain, role), accuracy in accuracies.items():
        split = {"id": "test", "aligned": "test_aligned", "ood_aligned": "test_aligned",
                 "conflicting": "test_conflicting", "ood_conflicting": "test_conflicting"}.get(
            role, "test_random"
        )  # fmt: skip
        right = correct(accuracy, seeds=1, seed=seed)[0]
        # Each split is in an order of its own.
        order = np.random.default_rng(len(split)).permutation(600) if "aligned" in role else np.arange(600)
        right = right[order]
        label = np.zeros(600, np.int64)
        arrays |= {
            f"{domain}/{split}/probabilities": np.stack([right, 1 - right], axis=1).astype(np.float32),
            f"{domain}/{split}/label": label,
            f"{domain}/{split}/concept": CONCEPTS[order],
            f"{domain}/{split}/id": np.array([f"{split}{domain}{i}" for i in order]),
            f"{domain}/{split}/object": np.array([f"{domain}{i}" for i in order]),
        }
        results.append(
            {"domain": domain, "role": role, "split": split, "accuracy": right.mean(), "cam_energy": 0.4,
             "mask_iou": 0.5, "sufficiency": 0.25, "random_sufficiency": 0.375}
        )  # fmt: skip
    np.savez(path / "predictions.npz", **arrays)
    (path / "config.json").write_text("{}")
    (path / "metrics.jsonl").write_text("")
    (path / "summary.json").write_text(json.dumps(BARE | {"results": results, "seed": seed}))
    (path / "report" / "index.html").write_text("")


@pytest.fixture
def results(tmp_path):
    # Accuracy on random backgrounds, and half the gap between aligned and conflicting ones.
    gaps = {ERM.name: 0.2, "ALIGN": 0.1, TRUE_MASKS.name: 0.2, CEILING.name: 0.0}
    levels = {ERM.name: 0.5, "ALIGN": 0.6, TRUE_MASKS.name: 0.65, CEILING.name: 0.7}
    for row in ROWS:
        if row.name in levels:
            for correlation, seeds in row.seeds.items():
                for seed in seeds[:2]:
                    level = levels[row.name]
                    write_run(
                        tmp_path / cell(row, correlation, seed).path,
                        {
                            ("noto", "id"): 0.9,
                            ("noto", "background_shift"): level,
                            ("openmoji", "background_shift"): level - 0.2,
                            ("fluent3d", "ood"): level,
                            **{
                                (domain, role): 0.6 + sign * gaps[row.name]
                                for domain, prefix in (("noto", ""), ("openmoji", ""), ("fluent3d", "ood_"))
                                for role, sign in ((f"{prefix}aligned", 1), (f"{prefix}conflicting", -1))
                            },
                        },
                        seed,
                    )
    return complete_runs(tmp_path, ROWS)


def test_tables_have_the_rows_that_were_run_and_the_shares(results):
    assert len(results) == 2 * (3 + 2 + 2 + 1)
    table = accuracy_table(results, "0.7")
    assert [row.names for row in table.rows] == [("ERM",), ("ALIGN",), (TRUE_MASKS.name,), (CEILING.name,)]
    cells = {column.title: cell.text for column, cell in zip(table.columns, table.rows[1].cells, strict=True)}
    assert cells["mask IoU"] == "0.50"
    ood = [100 * test.values["accuracy"] for result in results for test in result.run.results
           if result.row.name == "ALIGN" and result.correlation == "0.7" and test.role == "ood"]  # fmt: skip
    assert cells["held-out vendor, %"] == f"{np.mean(ood):.1f} ± {np.std(ood, ddof=1) / 2**0.5:.1f}"
    worst = np.mean(
        [100 * worst_domain(run) for run in results if run.row.name == "ALIGN" and run.correlation == "0.7"]
    )
    assert cells["worst domain, %"].startswith(f"{worst:.1f}")
    assert "–" in [cell.text for cell in table.rows[0].cells]  # ERM learns no masks
    gains = gain_table(results, "0.7")
    assert [row.names for row in gains.rows] == [("ALIGN",), (TRUE_MASKS.name,), (CEILING.name,)]
    assert 25 < float(gains.rows[0].cells[5].value) < 75
    low, high = map(float, gains.rows[0].cells[5].interval.split(", "))
    assert low < float(gains.rows[0].cells[5].value) < high
    assert gains.rows[2].cells[2].value == "–"
    assert "0.250 (0.375)" in markdown(faithfulness_table(results, "0.3"))


def test_the_share_of_the_gap_is_paired_by_object(results):
    table = gap_table(results, "0.7")
    assert [row.names for row in table.rows] == [("ALIGN",), (TRUE_MASKS.name,), (CEILING.name,)]
    align, true_masks, ceiling = (row.cells for row in table.rows)
    # Draws are common to all roles and methods: what differs between two is the level alone, and cancels object by
    # object. Paired by position, intervals would be several times as wide.
    for share in (align[0], align[3]):
        assert float(share.value) == pytest.approx(50, abs=8)
        low, high = map(float, share.interval.split(", "))
        assert high - low < 20
    assert (true_masks[0].value, ceiling[0].value) == ("+0.0", "–")
    assert float(align[2].value) == pytest.approx(10, abs=2)
    shown = background_table(results, "0.7")
    conflicting = [column.title for column in shown.columns].index("conflicting, %")
    assert float(shown.rows[0].cells[conflicting].value) == pytest.approx(40, abs=3)


def test_the_worst_group_is_that_of_all_training_vendors_together(results):
    def tested(role, domain, **accuracies):
        groups = tuple(Group("bird", name, *values) for name, values in accuracies.items())
        return TestResult(domain, role, "test", 10, {}, {}, groups=groups)

    run = dataclasses.replace(
        results[0].run,
        results=(
            tested("conflicting", "noto", park=(10, 0.1), city=(30, 0.6)),
            tested("conflicting", "openmoji", park=(30, 0.9), city=(10, 0.2)),
            tested("ood_conflicting", "fluent3d", park=(10, 0.0)),
        ),
    )
    assert worst_group_of_all_vendors(results[0]._replace(run=run)) == pytest.approx(20 / 40)
    assert worst_group_of_all_vendors(results[0]) is None


def test_a_method_is_compared_with_the_runs_of_its_own_seeds():
    correct = {
        "ERM": np.array([[0.0, 0.0], [1.0, 1.0], [2.0, 2.0]]),
        "ALIGN": np.array([[5.0, 5.0], [4.0, 4.0]]),
        "SGT": np.array([[6.0, 6.0]]),
    }
    seeds = {"ERM": [0, 1, 2], "ALIGN": [1, 2], "SGT": [3]}
    align, erm = of_common_seeds(("ALIGN", "ERM"), seeds, correct)
    np.testing.assert_array_equal(align, correct["ALIGN"])
    np.testing.assert_array_equal(erm, correct["ERM"][1:])
    assert of_common_seeds(("SGT", "ERM"), seeds, correct) == []
    assert of_common_seeds(("ALIGN", "ERM", "ERM"), seeds, correct) == []
    assert of_common_seeds(("ALIGN", "ERM", "a row without runs"), seeds, correct) == []


def test_gains_rest_on_common_seeds_alone(results):
    def aligns_row(results):
        return next(row for row in gain_table(results, "0.7").rows if row.names == ("ALIGN",))

    of_first_seed = [result for result in results if result.seed == 0]
    without_aligns_second = [result for result in results if (result.row.name, result.seed) != ("ALIGN", 1)]
    assert aligns_row(without_aligns_second) == aligns_row(of_first_seed) != aligns_row(results)


def test_the_csv_has_every_test_set_of_every_run(results):
    lines = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert len(lines) == 10 * len(results)
    assert {line["correlation"] for line in lines} == {"0", "0.3", "0.7", "0.9"}
    assert lines[0]["insertion_auc"] == ""
    assert float(lines[0]["accuracy"]) == pytest.approx(results[0].run.results[0].values["accuracy"], abs=1e-5)


def test_runs_on_other_images_are_not_compared(results, tmp_path):
    path = results[0].run.path / "predictions.npz"
    with np.load(path) as arrays:
        changed = {name: values[::-1] if name.endswith("/id") else values for name, values in arrays.items()}
    np.savez(path, **changed)
    with pytest.raises(UserError, match="was not tested on the images of the other runs"):
        gain_table(results, "0.3")
