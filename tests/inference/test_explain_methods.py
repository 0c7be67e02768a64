"""launch/explain.py with methods and metrics: of a run's own tests, and of a user's images, with and without masks."""

import ast
import csv
import json
import re
import shutil
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

import tests.tiny_config  # noqa: F401  (its data set and networks)
from align_jax.cli.explain import METHOD_FLAGS, _without_masks, main
from align_jax.configuration import default_config
from align_jax.data.augment import resample
from align_jax.errors import UserError
from align_jax.explanations import centre_map
from align_jax.inference.explain_methods import run_names
from tests.tiny_config import CLASSES, Squares

ROOT = Path(__file__).parents[2]
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
    assert {row["run"] for row in rows} == {f"{run.parent.name}/run"}
    assert str(run) not in html, "where the run lies is nobody's business"
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
        for method, prefix in (("Grad-CAM", ""), ("Random", "random_")):
            values = [float(row[metric]) for row in of_test if row["method"] == method and row[metric]]
            assert np.mean(values) == pytest.approx(result[f"{prefix}{metric}"], abs=1e-5)


def test_a_users_images_without_masks(run, photos, tmp_path, capsys):
    status, said = explain(
        capsys, f"--workdir={run}", f"--out={tmp_path}", "--methods=grad_cam", "--config.explain.steps=2", photos
    )
    assert status == 0, said
    html = (tmp_path / "index.html").read_text()
    assert not re.search(r'class="mark"', html), "nobody said which prediction is right"
    assert {row["image"] for row in table(tmp_path)} == {
        f"photos/{CLASSES[i % 3]}/{i}.png" for i in range(5)
    }  # fmt: skip


def test_a_users_images_with_masks_and_labels_side_by_side_with_another_run(run, photos, tmp_path, capsys):
    """An image that cannot be read stands in the middle: those after it keep their own masks and labels."""
    other = shutil.copytree(run, tmp_path / "other")
    masks = photos.parent / "masks"
    mine = Path(shutil.copytree(photos, tmp_path / "photos"))
    (mine / "green" / "broken.png").write_bytes(b"not a picture")
    outlines = Path(shutil.copytree(masks, tmp_path / "masks"))
    shutil.copy(outlines / "red" / "0.png", outlines / "green" / "broken.png")
    out = tmp_path / "out"
    status, said = explain(
        capsys, f"--workdir={run}", f"--out={out}", "--metrics=rank_accuracy", f"--masks={outlines}",
        "--labels=folders", f"--beside={other}", "--config.explain.target=label", "--config.explain.steps=2", mine,
    )  # fmt: skip
    assert status == 0, said
    assert "5 explained, 1 skipped" in said
    assert said.count("broken.png: skipped") == 1
    rows = table(out)
    assert len({row["run"] for row in rows}) == 2
    names = [str(Path("photos", CLASSES[i % 3], f"{i}.png")) for i in (1, 4, 2, 0, 3)]
    assert list(dict.fromkeys(row["image"] for row in rows)) == sorted(names)
    for row in (row for row in rows if row["method"] == "Centre"):
        mask = resample(np.asarray(Image.open(tmp_path / row["image"].replace("photos", "masks")))[..., None], 32)
        inside = mask[..., 0] > 127
        top = np.argsort(-np.asarray(centre_map((1, 32, 32)))[0].ravel(), kind="stable")[: inside.sum()]
        assert float(row["rank_accuracy"]) == pytest.approx(inside.ravel()[top].mean(), abs=0.02)
    html = (out / "index.html").read_text()
    assert html.count("<dt>Not read</dt><dd>1</dd>") == 2, "of both runs"
    assert re.search(r'<section id="unread">.*<li>[^<]*/green/broken.png: <span[^>]*>[^<]{5,}</span>', html, re.DOTALL)
    cards = re.findall(r"<article class=\"card explanation\".*?</article>", html, re.DOTALL)
    for card in cards:
        name = re.search(r'class="name">([^<]*)<', card)[1]
        assert re.search(r"Class</span> (\w+)<", card)[1] == Path(name).parent.name
    assert len(cards) == 5


def test_runs_are_called_by_their_folders(tmp_path, monkeypatch):
    def named(*folders):
        return run_names([Path(folder) for folder in folders])

    assert named(tmp_path / "quickstart" / "align") == ["quickstart/align"]
    (tmp_path / "quickstart" / "align").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "quickstart" / "align")
    assert named(".") == ["quickstart/align"]
    assert named("/align") == ["align"]
    assert named("/runs/a/align", "/runs/b/align") == ["a/align", "b/align"]
    assert named("/runs/align", "/runs/align/longer") == ["align", "align/longer"]


def test_masks_are_scored_against_though_no_metric_was_named_that_reads_them(run, photos, tmp_path, capsys):
    options = [f"--masks={photos.parent / 'masks'}", "--methods=gradient", "--config.explain.steps=2", photos]
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path}", *options)
    assert status == 0, said
    assert "note: none of the metrics reads masks, and energy_inside is added for --masks." in said
    rows = table(tmp_path)
    assert list(rows[0])[4:8] == ["comprehensiveness", "sufficiency", "insertion_auc", "energy_inside"]
    assert all(0 <= float(row["energy_inside"]) <= 1 for row in rows if row["method"] == "Centre")
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path}", "--metrics=pointing_game", *options)
    assert status == 0, said
    assert "is added" not in said
    assert "energy_inside" not in table(tmp_path)[0]


def test_that_the_runs_tests_have_no_masks_is_said_with_what_to_give():
    settings = default_config().explain
    settings.metrics = ("energy_inside",)
    with pytest.raises(UserError) as refused:
        _without_masks(settings, True, False)
    assert str(refused.value) == (
        "energy_inside needs true masks, and the run's tests have none; give images of your own and --masks=FOLDER."
    )


def test_what_the_command_says_of_itself_names_every_flag():
    for module in (ROOT / "launch" / "explain.py", ROOT / "align_jax" / "cli" / "explain.py"):
        says = ast.get_docstring(ast.parse(module.read_text()))
        for flag in METHOD_FLAGS:
            assert f"--{flag}" in says, (module, flag)


def test_masks_that_do_not_fit_are_named_before_anything_is_explained(run, photos, tmp_path, capsys):
    outlines = Path(shutil.copytree(photos.parent / "masks", tmp_path / "masks"))
    Image.new("L", (7, 7)).save(outlines / "blue" / "2.png")
    status, said = explain(capsys, f"--workdir={run}", "--metrics=roc_auc", f"--masks={outlines}", photos)
    assert status == 2
    assert "2.png has 7 x 7 pixels, its image 40 x 50" in said
    assert "of 5 images" not in said, "nothing was explained before"


def test_no_image_that_can_be_read(run, tmp_path, capsys):
    (tmp_path / "a.png").write_bytes(b"not a picture")
    status, said = explain(capsys, f"--workdir={run}", "--methods=grad_cam", tmp_path)
    assert status == 2
    assert "None of the 1 images can be read" in said


def test_runs_whose_tests_another_run_was_trained_on_are_refused(run, tmp_path, capsys):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    data = json.loads((other / "data.json").read_text())
    (other / "data.json").write_text(json.dumps(data | {"train_domains": ["dark", "bright"]}))
    status, said = explain(capsys, f"--workdir={run}", f"--beside={other}")
    assert status == 2
    assert "has the training domains ['dark', 'bright']" in said
    status, said = explain(capsys, f"--workdir={run}", f"--beside={run / '.'}")
    assert status == 2
    assert "is given twice" in said


def test_a_foreign_config_is_checked(run, tmp_path, capsys):
    other = Path(shutil.copytree(run, tmp_path / "other"))
    config = json.loads((other / "config.json").read_text())
    config["explain"]["methods"] = ["my_method"]
    (other / "config.json").write_text(json.dumps(config))
    status, said = explain(capsys, f"--workdir={other}")
    assert status == 2
    assert "config.explain.methods is ('my_method',); it must be one or more of" in said


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
        (["--metrics=roc_auc,gini", "PHOTOS"], "roc_auc needs true masks, and your images have none; give --masks"),
        (["--config.explain.metrics=roc_auc", "PHOTOS"], "your images have none; give --masks=FOLDER."),
        (["--metrics=roc_auc,energy_inside", "PHOTOS"], "roc_auc, energy_inside need true masks"),
        (["--config.explain.images=3", "PHOTOS"], "of your own, all images are explained"),
        (["--methods=rise", "--config.explain.methods=rise"], "say the same; give one of them"),
    ],
)  # fmt: skip
def test_mistakes_are_answered_in_one_sentence(run, photos, tmp_path, capsys, arguments, message):
    arguments = [a.replace("PHOTOS", str(photos)) for a in arguments]
    status, said = explain(capsys, f"--workdir={run}", f"--out={tmp_path / 'out'}", *arguments)
    assert status == 2, said
    assert message in said
    assert "Traceback" not in said
    assert not (tmp_path / "out").exists()
