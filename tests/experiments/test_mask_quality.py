"""The experiment on masks of falling quality: its cells, what it collects and draws, and how it goes on.

Most of it with a program that pretends to train; the last tests look at what real training reads.
"""

import csv
import io
import json
import os
import re
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from align_jax.configuration import check
from align_jax.data.degraded_masks import QUALITIES
from align_jax.errors import UserError
from align_jax.runs.folder import check_run_folder
from align_jax.runs.read import Result
from align_jax.training import train_and_evaluate
from experiments.mask_quality.experiment import cells, main, mask_ious, plan
from experiments.mask_quality.figure import draw, png, svg
from experiments.mask_quality.tables import COLUMNS, Measured, as_csv, row, table
from tests.finished_run import BARE
from tests.tiny_config import Squares, get_config

ROOT = Path(__file__).parents[2]
TINY = str(ROOT / "tests" / "tiny_config.py")
QUICKSTART = str(ROOT / "configs" / "quickstart.py")
IOUS = dict(zip(QUALITIES, (1.0, 0.8, 0.7, 0.6, 0.45, 0.35, 0.2, 0.0), strict=True))

# Writes the files of a run, with accuracies that differ between cells.
PRETENDED = """
import json, sys, time
from pathlib import Path

flags = dict(argument.lstrip("-").partition("=")[::2] for argument in sys.argv[1:])
run = Path(flags["workdir"])
quality = flags.get("config.data.mask_quality", "")
gate = Path(__file__).with_name("gate")
if quality == "dilated" and gate.exists():
    (run / "waiting").touch()
    patience = time.monotonic() + 60
    while time.monotonic() < patience:
        time.sleep(0.01)
if quality == "eroded" and Path(__file__).with_name("failing").exists():
    sys.exit(3)
accuracy = 0.5 + 0.01 * len(quality) + 0.001 * int(flags["config.seed"])
results = [{"domain": d, "role": r, "split": "test", "accuracy": accuracy + more, "cam_energy": 0.3}
           for d, r, more in (("dark", "id", 0), ("grey", "id", 0.1), ("bright", "ood", -0.1))]
if flags.get("config.guidance") == "learned":
    results = [line | {"mask_iou": 0.4} for line in results]
(run / "report").mkdir(parents=True)
(run / "starts").open("a").write("once ")
for name, value in flags.items():
    group, _, field = name.removeprefix("config.").rpartition(".")
    if name.startswith("config."):
        fields = CONFIG[group] if group else CONFIG
        fields[field] = type(fields[field])(value)
(run / "config.json").write_text(json.dumps(CONFIG))
(run / "summary.json").write_text(json.dumps(BARE | {"results": results}))
(run / "report" / "index.html").write_text("")
"""


@pytest.fixture
def program(tmp_path):
    path = tmp_path / "pretended.py"
    path.write_text(f"BARE, CONFIG = {BARE}, {json.loads(get_config().to_json())}\n{PRETENDED}")
    return sys.executable, str(path)


def measured(seeds=(0, 1)):
    generator = np.random.default_rng(0)
    names = ("accuracy_id", "accuracy_background_shift", "accuracy_ood", "cam_energy_ood")
    return [
        Measured(
            condition,
            seed,
            0.5 + 0.1 * seed if condition == "learned" else IOUS.get(condition),
            {name: float(generator.uniform(0.4, 0.6)) for name in names},
        )
        for seed in seeds
        for condition in (*QUALITIES, "learned", "dre", "erm")
    ]


# ---- the cells -------------------------------------------------------------------------------------------------------


def test_every_quality_the_learned_masks_and_no_masks_have_a_cell_a_seed():
    named = cells("fluent3d", [0, 1])
    assert list(named.values()) == 2 * [*QUALITIES, "learned", "dre", "erm"]
    assert [cell.seed for cell in named] == [0] * 11 + [1] * 11
    assert len({cell.path for cell in named}) == 22
    for cell, condition in named.items():
        fields = dict(cell.overrides)
        assert cell.method == (condition if condition in ("dre", "erm") else "align")
        expected = {"learned": {"guidance": "learned"}, "dre": {}, "erm": {}}
        assert fields == expected.get(condition, {"guidance": "true", "data.mask_quality": condition})
        assert cell.settings()["compare"] == "()"


def test_a_command_is_the_quickstart_with_two_seeds_unless_told_otherwise(tmp_path):
    sweep, named, _ = plan(["mask_quality.py", f"--workdir={tmp_path}"], QUICKSTART)
    assert {(cell.domain, cell.seed) for cell in named} == {("fluent3d", 0), ("fluent3d", 1)}
    assert tuple(sweep.cells) == tuple(named)
    flags = ["--seeds=3", "--jobs=2", "--config.data.domain=noto", "--config.schedule.length=40"]
    sweep, named, _ = plan(["mask_quality.py", f"--workdir={tmp_path}", *flags], QUICKSTART)
    assert {(cell.domain, cell.seed) for cell in named} == {("noto", 3)}
    assert sweep.jobs == 2
    assert all("--config.schedule.length=40" in sweep.flags(cell) for cell in named)


def test_another_method_cuts_objects_out_with_the_same_masks(tmp_path):
    _, named, method = plan(["mask_quality.py", f"--workdir={tmp_path}", "--method=background_swap"], QUICKSTART)
    assert method == "background_swap"
    with pytest.raises(UserError, match=r"--config.schedule.warmup is varied by the experiment"):
        plan(["mask_quality.py", "--method=background_swap", "--config.schedule.warmup=0.5"], QUICKSTART)
    for cell, condition in named.items():
        given = {"guidance": "true", "data.mask_quality": condition, "schedule.warmup": "0.0",
                 "background_swap.mistakes": "1"}  # fmt: skip
        expected = {"learned": {"guidance": "learned"}, "dre": {}, "erm": {}}
        assert cell.method == (condition if condition in ("dre", "erm") else "background_swap")
        assert dict(cell.overrides) == expected.get(condition, given)


@pytest.mark.parametrize(
    ("flag", "match"),
    [
        ("--config.guidance=grey", "--config.guidance is varied by the experiment"),
        ("--config.data.mask_quality=noisy", "is varied by the experiment"),
        ("--config.algorithm=erm", "is varied by the experiment"),
        ("--methods=erm", "--methods is not a flag of this program"),
        ("--config.data.fold=x", "fold"),
        ("--config.optim.lr=-1", "must be between"),
        ("--jobs=0", "at least 1"),
        ("--method=erm", "--method is 'erm'; write --method=NAME with one of align, background_swap"),
        ("--method", "write --method=NAME"),
    ],
)
def test_what_cannot_work_is_refused_before_anything_runs(tmp_path, flag, match):
    with pytest.raises(UserError, match=match):
        plan(["mask_quality.py", f"--workdir={tmp_path / 'out'}", flag], QUICKSTART)
    assert not (tmp_path / "out").exists()


def test_a_run_of_a_version_that_lacked_a_field_goes_on_where_the_default_says_so(tmp_path):
    config = get_config()
    config.guidance, config.data.mask_quality = "true", "true"
    cell = next(iter(cells("bright", [0])))
    run = tmp_path / cell.path
    run.mkdir(parents=True)
    before = json.loads(config.to_json())
    del before["align"]["ramp"], before["align"]["classifier"]["swapped_cls"]
    (run / "config.json").write_text(json.dumps(before))
    check_run_folder(config, run)
    config.align.ramp = 5
    with pytest.raises(UserError, match=r"config\.align\.ramp was 0, is 5"):
        check_run_folder(config, run)


def test_a_folder_with_another_config_is_refused(tmp_path):
    config = get_config()
    config.guidance, config.seed = "true", 5
    cell = next(iter(cells("bright", [0])))
    (tmp_path / cell.path).mkdir(parents=True)
    (tmp_path / cell.path / "config.json").write_text(config.to_json())
    with pytest.raises(UserError, match=r"config\.seed was 5, is 0"):
        plan(["mask_quality.py", f"--workdir={tmp_path}"], TINY)


# ---- running and going on --------------------------------------------------------------------------------------------


def test_a_command_trains_collects_and_draws_and_repeats_nothing(tmp_path, program, capsys):
    arguments = ["mask_quality.py", f"--workdir={tmp_path / 'out'}", "--jobs=4"]
    assert main(arguments, config=TINY, program=program) == 0
    said = capsys.readouterr().out
    lines = list(csv.DictReader((tmp_path / "out" / "mask_quality.csv").open()))
    assert [(line["condition"], line["seed"]) for line in lines] == [
        (name, seed) for seed in "01" for name in (*QUALITIES, "learned", "dre", "erm")
    ]
    by_name = {line["condition"]: line for line in lines if line["seed"] == "1"}
    # The mean over a role's domains; roles without domains are left empty.
    assert float(by_name["random"]["accuracy_id"]) == pytest.approx(0.5 + 0.06 + 0.001 + 0.05)
    assert float(by_name["random"]["accuracy_ood"]) == pytest.approx(0.5 + 0.06 + 0.001 - 0.1)
    assert by_name["random"]["accuracy_background_shift"] == ""
    assert [by_name[name]["mask_iou"] for name in ("true", "inverted", "learned", "erm")] == [
        "1.00000", "0.00000", "0.40000", ""
    ]  # fmt: skip
    assert re.search(r"^\| learned \(ALIGN\) \| +0\.40 \|", said, re.MULTILINE)
    for name in ("svg", "png", "csv"):
        assert str(tmp_path / "out" / f"mask_quality.{name}") in said
        assert (tmp_path / "out" / f"mask_quality.{name}").stat().st_size > 100

    assert main(arguments, config=TINY, program=program) == 0
    assert "22 of 22 cells are complete and not repeated" in capsys.readouterr().err
    assert {path.read_text() for path in (tmp_path / "out").rglob("starts")} == {"once "}


def test_a_cell_that_fails_is_named_and_nothing_is_drawn(tmp_path, program, capsys):
    (tmp_path / "failing").touch()
    arguments = ["mask_quality.py", f"--workdir={tmp_path / 'out'}", "--seeds=0", "--jobs=4"]
    assert main(arguments, config=TINY, program=program) == 1
    said = capsys.readouterr().err
    assert "failed: align,data.mask_quality=eroded,guidance=true/bright/seed0" in said
    assert "10 of 11 cells are complete" in said
    assert not (tmp_path / "out" / "mask_quality.csv").exists()
    (tmp_path / "failing").unlink()
    assert main(arguments, config=TINY, program=program) == 0


def test_what_was_stopped_says_how_to_go_on(tmp_path, program):
    (tmp_path / "gate").touch()
    out = tmp_path / "out"
    code = "import sys; from experiments.mask_quality.experiment import main; "
    code += f"sys.exit(main(sys.argv, config={TINY!r}, program={program!r}))"
    process = subprocess.Popen(
        [sys.executable, "-c", code, f"--workdir={out}", "--seeds=0"],
        env=os.environ | {"PYTHONPATH": str(ROOT)}, stderr=subprocess.PIPE, text=True, start_new_session=True,
    )  # fmt: skip
    patience = time.monotonic() + 60
    while not list(out.rglob("waiting")):
        assert time.monotonic() < patience
        assert process.poll() is None
        time.sleep(0.02)
    process.send_signal(signal.SIGTERM)
    said = process.communicate(timeout=60)[1]
    assert process.returncode == 128 + signal.SIGTERM
    assert "Stopped by SIGTERM with 1 of 11 cells complete" in said
    assert f"the same command goes on from there: python -c --workdir={out} --seeds=0" in said


# ---- collecting and drawing ------------------------------------------------------------------------------------------


def test_ious_are_those_of_the_images_that_are_trained_on():
    ious = mask_ious({"dark": Squares(0, 0, 30), "grey": Squares(1, 0, 30)}, ("true", "dilated", "inverted"), 32)
    # A square of 14 pixels, with the outline moved by one pixel where the image has room for it.
    grown = [min(top + 15, 32) - max(top - 1, 0) for top in (4, 5)]
    assert ious["dilated"] == pytest.approx(14**2 / (grown[0] * grown[1] - 4), abs=0.03)
    assert (ious["true"], ious["inverted"]) == (1, 0)


def test_a_row_has_means_over_a_roles_domains():
    results = [
        Result("a", "id", "test", 10, {"accuracy": 0.4, "mask_iou": 0.2, "auc": 0.9}, {}),
        Result("b", "id", "test", 10, {"accuracy": 0.6, "mask_iou": 0.4}, {}),
        Result("c", "ood", "test", 10, {"accuracy": 0.3, "cam_energy": 0.7, "mask_iou": 0.9}, {}),
    ]
    learned = row("learned", 3, None, results)
    assert (learned.condition, learned.seed) == ("learned", 3)
    assert learned.mask_iou == pytest.approx(0.3)
    assert learned.scores == pytest.approx({"accuracy_id": 0.5, "accuracy_ood": 0.3, "cam_energy_ood": 0.7})
    assert row("noisy", 0, 0.35, results).mask_iou == 0.35


def test_the_csv_has_a_row_a_run():
    rows = measured()
    lines = list(csv.DictReader(io.StringIO(as_csv(rows))))
    assert len(lines) == len(rows) == 22
    assert tuple(lines[0]) == COLUMNS
    for line, run in zip(lines, rows, strict=True):
        assert (line["condition"], int(line["seed"])) == (run.condition, run.seed)
        assert float(line["accuracy_ood"]) == pytest.approx(run.scores["accuracy_ood"], abs=1e-5)
    assert lines[-1]["mask_iou"] == ""


def test_the_table_has_means_with_standard_errors():
    rows = [Measured("erm", seed, None, {"accuracy_ood": value}) for seed, value in enumerate((0.4, 0.5, 0.6))]
    made = table([Measured("true", 0, 1.0, {"accuracy_ood": 0.7}), *rows])
    assert {row.names[0]: [cell.text for cell in row.cells] for row in made.rows} == {
        "true": ["1.00", "–", "–", "–", "–", "70.0", "–"],
        "none (ERM)": ["–", "–", "–", "–", "–", "50.0 ± 5.8", "–"],
    }


def test_the_figure_has_every_panel_mark_and_name():
    rows = measured()
    figure = draw(rows)
    panels = figure.axes
    assert [axes.get_title(loc="left") for axes in panels] == [
        "Accuracy in distribution, %",
        "Accuracy under background shift, %",
        "Accuracy on the held-out vendor, %",
        "Grad-CAM energy, held-out vendor, %",
    ]
    axes = panels[2]
    (names,) = axes.child_axes
    assert [label.get_text() for label in names.get_xticklabels()] == list(reversed(QUALITIES))
    lines = [(np.asarray(line.get_xdata()), np.asarray(line.get_ydata())) for line in axes.lines]
    (means,) = (y for x, y in lines if len(x) == 8)
    expected = [
        np.mean([100 * run.scores["accuracy_ood"] for run in rows if run.condition == name])
        for name in reversed(QUALITIES)
    ]
    np.testing.assert_allclose(means, expected)
    # Learned masks: a mark a seed at its own IoU, and their mean.
    places = [x.tolist() for x, _ in lines]
    assert [0.5, 0.6] in places
    assert [pytest.approx(0.55)] in places
    for band, name in zip(axes.patches, ("dre", "erm"), strict=True):
        scores = [100 * run.scores["accuracy_ood"] for run in rows if run.condition == name]
        error = np.std(scores, ddof=1) / np.sqrt(2)
        assert band.get_y() == pytest.approx(np.mean(scores) - error)
        assert band.get_height() == pytest.approx(2 * error)


def test_equal_results_give_equal_files_of_the_page_width():
    assert svg(draw(measured())) == svg(draw(measured()))
    image = Image.open(io.BytesIO(png(draw(measured(seeds=(0,))))))
    assert image.width == 1800


def test_names_that_would_meet_are_moved_aside():
    rows = [Measured(name, 0, 0.3 + 0.001 * place, {"accuracy_id": 0.5}) for place, name in enumerate(QUALITIES)]
    (names,) = draw(rows).axes[0].child_axes
    assert np.diff(names.get_xticks()).min() > 0.05


# ---- training --------------------------------------------------------------------------------------------------------


class Seen(Exception):
    """Training has got as far as its sources."""


@pytest.mark.parametrize(("guidance", "quality"), [("true", "inverted"), ("true", "true"), ("learned", "inverted")])
def test_the_masks_that_guide_have_the_quality_and_those_of_evaluation_are_true(
    tmp_path, monkeypatch, guidance, quality
):
    seen = {}

    def look(sources, **settings):
        seen.update(sources)
        raise Seen

    monkeypatch.setattr("align_jax.training.run.training_examples", look)
    config = get_config()
    config.guidance, config.data.mask_quality = guidance, quality
    with pytest.raises(Seen):
        train_and_evaluate(config, tmp_path / "run")
    true = Squares(0, 0, 30)[3]["mask"]
    worse = guidance == "true" and quality == "inverted"
    np.testing.assert_array_equal(seen["dark"][3]["mask"], 255 - true if worse else true)
    assert json.loads((tmp_path / "run" / "config.json").read_text())["data"]["mask_quality"] == quality


def test_an_unknown_quality_is_refused():
    config = get_config()
    config.data.mask_quality = "perfect"
    with pytest.raises(UserError, match=r"config\.data\.mask_quality is 'perfect'; it must be one of true, dilated"):
        check(config)
