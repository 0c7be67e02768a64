"""The tutorials' programs run as they are printed, and print what the pages say."""

import ast
import json
import os
import re
import shlex
import subprocess
import sys
from pathlib import Path

import chex
import jax
import numpy as np
import pytest
from orbax.checkpoint import v1 as ocp

from align_jax.errors import UserError
from align_jax.forward import ClassifierForward, MaskerForward, SaliencySettings
from align_jax.runs.trained import load_trained
from tests.small_networks import small_batch, small_updates

ROOT = Path(__file__).parents[2]
TUTORIALS = ROOT / "docs" / "tutorials"


def blocks(page, language="python"):
    return re.findall(rf"```{language}\n(.*?)```", (TUTORIALS / page).read_text(), flags=re.DOTALL)


def run(command, folder):
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    result = subprocess.run(command, cwd=folder, env=environment, capture_output=True, text=True, timeout=540)
    assert result.returncode == 0, result.stderr
    return result.stdout


def run_page(page, folder, name="page.py"):
    program = folder / name
    program.write_text("\n".join(blocks(page)))
    return run([sys.executable, program.name], folder)


def test_a_new_loss_trains(tmp_path):
    printed = run_page("new_loss.md", tmp_path)
    runs = {line.partition("{")[0].strip(): ast.literal_eval(line[line.index("{") :]) for line in printed.splitlines()}
    assert set(runs) == {"with it", "at the end", "watched", "without"}
    assert all(metrics["accuracy"] > 0.8 for metrics in runs.values())
    for smoothed in ("with it", "at the end"):
        assert runs[smoothed]["variation"] < 0.95 * runs["watched"]["variation"]
        assert runs[smoothed]["loss"] == pytest.approx(
            runs[smoothed]["cls"] + 3 * runs[smoothed]["variation"], abs=0.005
        )
    # What is watched is logged and changes nothing; a term whose weight is the number 0 is not there at all.
    assert runs["watched"]["loss"] == runs["watched"]["cls"]
    assert "variation" not in runs["without"]
    assert runs["without"]["cls"] == pytest.approx(runs["watched"]["cls"], abs=0.005)


def test_the_new_loss_takes_under_20_lines():
    first = blocks("new_loss.md")[0]
    assert "def total_variation(" in first
    assert "weighted(" in first
    assert len(first.splitlines()) < 20


def test_the_tables_name_all_that_a_term_may_name():
    classifier, masker = (update.network for update in small_updates())
    batch, key = small_batch() | {"class_group": np.zeros(12, np.int32)}, jax.random.key(0)
    of_classifier = ClassifierForward(classifier, {}, {}, batch, key, lambda batch: batch["mask"], SaliencySettings())
    of_masker = MaskerForward(masker, {}, {}, batch, key, lambda image: image, lambda image: image)
    tables = (TUTORIALS / "new_loss.md").read_text().split("| in the ")[1:]
    assert [table.partition("'")[0] for table in tables] == ["classifier", "masker"]
    for table, names in zip(tables, (of_classifier.names(), of_masker.names()), strict=True):
        rows = [row.split("|")[1] for row in table.partition("\n\n")[0].splitlines() if row.startswith("| `")]
        assert sorted(re.findall(r"`(\w+)`", "".join(rows))) == sorted(names)


def test_a_new_method_trains_from_python_and_from_the_command_line(tmp_path):
    printed = run_page("new_method.md", tmp_path, "hard_domains.py")
    lines = [line.split()[:3] for line in printed.splitlines()]
    assert lines == [
        ["hard_domains", "dark", "id"], ["hard_domains", "grey", "id"], ["hard_domains", "bright", "ood"]
    ]  # fmt: skip
    (command,) = blocks("new_method.md", "sh")
    python, program, *arguments = shlex.split(command)
    assert (python, program) == ("python", "launch/main.py")
    said = run([sys.executable, str(ROOT / program), *arguments], tmp_path)
    assert "Hard domains" in (tmp_path / said.rpartition("Report: ")[2].strip()).read_text()
    carried = [carried_risk(tmp_path / "runs" / name) for name in ("python", "command")]
    # The running means moved from where they began, and not alike: the temperature of the command line was read.
    for name, risk in zip(("python", "command"), carried, strict=True):
        lines = [json.loads(line) for line in (tmp_path / "runs" / name / "metrics.jsonl").read_text().splitlines()]
        watched = [line["classifier/worst_domain_risk"] for line in lines if line["split"] == "train"]
        # The log has the mean over its stretch of steps, along which the risks grow from 0.
        assert 0 < watched[-1] <= risk.max()
        assert risk.shape == (2,)
        assert (risk > 0).all()
    assert not np.array_equal(*carried)


def test_a_new_methods_settings_have_rules_and_an_older_files_own_group_needs_none(tmp_path):
    (tmp_path / "hard_domains.py").write_text("\n".join(blocks("new_method.md")))
    program = (
        "from hard_domains import *; from align_jax.configuration import check; import ml_collections\n"
        "ALGORITHMS['older'] = Algorithm(lambda config: classifier_objective(**config.older))\n"
        "config = get_config(); config.algorithm = 'older'\n"
        "config.older = ml_collections.ConfigDict({'temperature': 0.5, 'decay': 2.0})\n"
        "check(config); ALGORITHMS['older'].classifier_objective(config)\n"
        "config.hard_domains.decay = 2\n"
        "try: check(config)\n"
        "except ValueError as error: print(error)\n"
    )
    printed = run([sys.executable, "-c", program], tmp_path)
    assert printed == "config.hard_domains.decay is 2.0; it must be between 0 and 1.\n"
    assert printed.strip() in " ".join((TUTORIALS / "new_method.md").read_text().split())


def carried_risk(folder):
    checkpointer = ocp.training.Checkpointer((folder / "checkpoints").absolute())
    try:
        return np.asarray(checkpointer.load_checkpointables(12)["states"][0]["carried"]["domain_risk"])
    finally:
        checkpointer.close()


def test_a_new_data_set_trains_from_memory_and_from_folders(tmp_path):
    (tmp_path / "stripes.py").write_text("\n".join(blocks("new_data_set.md")))
    commands = "".join(blocks("new_data_set.md", "sh")).replace("\\\n", "").splitlines()
    printed = []
    for python, program, *arguments in map(shlex.split, commands):
        assert python == "python"
        path = ROOT / program if program.startswith("launch/") else program
        printed.append(run([sys.executable, str(path), *arguments], tmp_path))
    assert "across      30     30    30   90" in printed[2]
    for name in ("memory", "folders"):
        summary = json.loads((tmp_path / "runs" / name / "summary.json").read_text())
        assert (summary["dataset"], set(summary["train_domains"])) == ("stripes", {"thin", "medium"})
        tests = [(row["domain"], row["role"], row["examples"]) for row in summary["results"]]
        assert ("thick", "ood", 60) in tests


def test_a_new_masker_trains_and_is_read_back_where_its_file_is_imported(tmp_path):
    (tmp_path / "hard_domains.py").write_text("\n".join(blocks("new_method.md")))
    printed = run_page("new_masker.md", tmp_path, "spotlight.py")
    lines = [line.split() for line in printed.splitlines()]
    assert [line[:2] for line in lines] == [["dark", "id"], ["grey", "id"], ["bright", "ood"]]
    assert all(0 < float(line[2]) < 1 for line in lines)
    with pytest.raises(UserError, match=r"masker\.name is 'spotlight'; it must be one of encoder_decoder, .*your own"):
        load_trained(tmp_path / "runs" / "spotlight")
    (command,) = blocks("new_masker.md", "sh")
    python, *arguments = shlex.split(command)
    assert python == "python"
    assert "Evaluation: runs/spotlight/evaluations/" in run([sys.executable, *arguments], tmp_path)


def test_the_one_line_is_the_model_as_it_was_written_by_hand():
    model, by_hand, one_line, *_ = blocks("own_model.md")
    page = {}
    exec("\n".join((model, by_hand)), page)
    written = page["network"]
    exec(one_line, page)
    image, key = small_batch()["image"], jax.random.key(0)
    variables = written.init(key, image)
    chex.assert_trees_all_equal(page["network"].init(key, image), variables)
    features = [network.features(*variables, image, True, key)[0] for network in (written, page["network"])]
    np.testing.assert_array_equal(*features)
    assert not np.array_equal(features[0], written.features(*variables, image, False, None)[0])
    np.testing.assert_array_equal(*(network.logits(*variables, image) for network in (written, page["network"])))


def test_a_model_of_ones_own_is_aligned_saved_and_explained(tmp_path):
    printed = run_page("own_model.md", tmp_path)
    assert (tmp_path / "classifier.safetensors").exists()
    last = ast.literal_eval(re.findall(r"^200 (.*)$", printed, flags=re.MULTILINE)[0])
    assert last["classifier/accuracy"] > 0.8
    scores = {name: float(value) for name, value in re.findall(r"^(\D+): (\S+)$", printed, flags=re.MULTILINE)}
    assert scores["mask IoU"] > 0.25
    assert scores["CAM energy"] > 0.14
    assert scores["Grad-CAM's comprehensiveness"] > scores["random map's comprehensiveness"]
    assert scores["Grad-CAM's sufficiency"] < scores["random map's sufficiency"]


def test_a_model_from_elsewhere_is_explained_and_a_zero_map_is_said(tmp_path):
    page = (TUTORIALS / "explain_your_model.md").read_text()
    (tmp_path / "page.py").write_text("\n".join(blocks("explain_your_model.md")))
    environment = os.environ | {"PYTHONPATH": str(ROOT)}
    command = [sys.executable, "page.py"]
    result = subprocess.run(command, cwd=tmp_path, env=environment, capture_output=True, text=True, timeout=300)
    assert result.returncode == 0, result.stderr
    lines = result.stdout.splitlines()
    shown = [line.removeprefix("    ") for line in page.splitlines() if re.match(r"    \w+ +\S.*(calls|\d)$", line)]
    assert lines[: len(shown)] == shown
    assert lines[len(shown) :] == [
        "(2, 8, 8) (2, 32, 32) 1.0",
        *("(2, 8, 8)", "(2, 3, 8, 8)", "(2, 8, 8)"),
        "(2, 8, 8)",
        "0.0 True",
    ]
    (warning,) = re.findall(r"^    UserWarning: (.*?)\n\n", page, flags=re.MULTILINE | re.DOTALL)
    assert " ".join(warning.split()) in result.stderr
