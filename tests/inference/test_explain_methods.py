"""launch/explain.py with methods and metrics: of a run's own tests, and of a user's images, with and without masks."""

import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tests.tiny_config  # noqa: F401  (its data set and networks)
from align_jax.cli.explain import main
from tests.tiny_config import CLASSES, Squares

FEW = ("--config.explain.images=6", "--config.explain.steps=2")


@pytest.fixture(scope="module")
def run(trained_run, tmp_path_factory):
    return Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("runs") / "run"))


@pytest.fixture(scope="module")
def photos(tmp_path_factory):
    """CLASS/IMAGE, not square, and beside the folder the masks of all of them."""
    folder = tmp_path_factory.mktemp("mine") / "photos"
    for index in range(5):
        example = Squares(1, 7, 12)[index]
        for name, pixels in (("photos", example["image"]), ("masks", example["mask"][..., 0])):
            path = folder.parent / name / CLASSES[index % 3] / f"{index}.png"
            path.parent.mkdir(parents=True, exist_ok=True)
            Image.fromarray(pixels).resize((40, 50)).save(path)
    return folder


def explain(capsys, *arguments):
    """Exit status, and what was said."""
    status = main(["launch/explain.py", *map(str, arguments)])
    said = capsys.readouterr()
    return status, said.out + said.err


def table(out):
    with (out / "values.csv").open() as file:
        return list(csv.DictReader(file))


def test_the_runs_own_tests_in_one_page_with_every_method_and_control(run, tmp_path, capsys):
    out = tmp_path / "out"
    options = ["--methods=layer_cam,gradient", "--metrics=sufficiency,energy_inside", *FEW]
    status, said = explain(capsys, f"--workdir={run}", f"--out={out}", *options)
    assert status == 0, said
    assert "the run's own tests are explained" in said
    assert "18 explained, 0 skipped" in said
    html = (out / "index.html").read_text()
    assert html.count('<article class="card explanation"') == 18
    rows = table(out)
    methods = ["LayerCAM", "Gradient", "Learned mask", "Random", "Centre", "Edges"]
    assert list(dict.fromkeys(row["method"] for row in rows)) == methods
    assert list(rows[0])[4:] == ["sufficiency", "energy_inside", "deletion_auc", "insertion_auc"]
    assert len(rows) == 18 * len(methods)
    assert {row["domain"] for row in rows} == {
        "dark, in distribution", "grey, in distribution", "bright, out of distribution"
    }  # fmt: skip
    assert all(0 <= float(row["energy_inside"]) <= 1 for row in rows if row["energy_inside"])


def test_numbers_are_those_of_the_runs_summary(run, tmp_path, capsys):
    """The same images, map, fill, class and steps as in the evaluation at the run's end."""
    summary = json.loads((run / "summary.json").read_text())
    assert summary["explain"] == {
        "methods": ["grad_cam"], "metrics": ["comprehensiveness", "sufficiency", "insertion_auc"], "fill": "mean",
        "insertion_fill": "blur", "target": "predicted", "images": 8, "steps": 2,
    }  # fmt: skip
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path}", "--methods=grad_cam")
    assert status == 0, said
    result = next(result for result in summary["results"] if result["role"] == "ood")
    of_test = [row for row in table(tmp_path) if row["domain"] == "bright, out of distribution"]
    for metric in ("comprehensiveness", "sufficiency", "insertion_auc"):
        values = [float(row[metric]) for row in of_test if row["method"] == "Grad-CAM" and row[metric]]
        assert np.mean(values) == pytest.approx(result[metric], abs=1e-5)


def test_a_users_images_without_masks(run, photos, tmp_path, capsys):
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path}", "--methods=grad_cam", *FEW, photos)
    assert status == 0, said
    html = (tmp_path / "index.html").read_text()
    assert not re.search(r'class="mark"', html), "nobody said which prediction is right"
    assert {row["image"] for row in table(tmp_path)} == {
        f"photos/{CLASSES[i % 3]}/{i}.png" for i in range(5)
    }  # fmt: skip


def test_a_users_images_with_masks_and_labels_side_by_side_with_another_run(run, photos, tmp_path, capsys):
    other = shutil.copytree(run, tmp_path / "other")
    (photos / "red" / "broken.png").write_bytes(b"not a picture")
    shutil.copy(photos.parent / "masks" / "red" / "0.png", photos.parent / "masks" / "red" / "broken.png")
    out = tmp_path / "out"
    status, said = explain(
        capsys, f"--workdir={run}", f"--out={out}", "--metrics=roc_auc", f"--masks={photos.parent / 'masks'}",
        "--labels=folders", f"--beside={other}", "--config.explain.target=label", *FEW, photos,
    )  # fmt: skip
    (photos / "red" / "broken.png").unlink()
    assert status == 0, said
    assert "5 explained, 1 skipped" in said
    rows = table(out)
    assert {row["run"] for row in rows} == {str(run), str(other)}
    assert all(0 <= float(row["roc_auc"]) <= 1 for row in rows if row["method"] == "Edges")
    by_run = [[row["roc_auc"] for row in rows if row["run"] == str(name)] for name in (run, other)]
    assert by_run[0] == by_run[1], "both are the same classifier, with the same random maps"
    assert "Explained class" in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--methods=grad_cam,grad_cma"], "config.explain.methods is ('grad_cam', 'grad_cma'); it must be one or"),
        (["--methods=grad_cam,grad_cam"], "each once"),
        (["--methods="], "it must be one or more of"),
        (["--metrics=iou"], "config.explain.metrics is ('iou',); it must be one or more of"),
        (["--config.explain.fill=grey"], "config.explain.fill is 'grey'; it must be one of"),
        (["--config.data.fold=1"], "only --config.explain.FIELD can be set here"),
        (["--masks=masks"], "--masks is for images of your own, and none is given"),
        (["--labels=folders"], "--labels is for images of your own"),
        (["--labels=names", "PHOTOS"], "--labels is 'names'; it must be folders"),
        (["--masks=nowhere", "PHOTOS"], "nowhere is not a folder"),
        (["--config.explain.target=label", "PHOTOS"], "your images have none; give --labels=folders"),
        (["--metrics=roc_auc", "--masks=PHOTOS/red", "PHOTOS"], "images have no mask"),
        (["--beside=nowhere", "--methods=grad_cam"], "nowhere is not a folder"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_sentence(run, photos, tmp_path, capsys, arguments, message):
    arguments = [a.replace("PHOTOS", str(photos)) for a in arguments]
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path / 'out'}", *arguments)
    assert status == 2, said
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
