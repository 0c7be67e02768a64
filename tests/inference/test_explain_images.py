"""Explanations of a user's own images: in their own shape, by name, on a page that loads nothing."""

import html
import json
import os
import re
import shutil
from pathlib import Path

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from align_jax.cli.explain import main as explain
from align_jax.data.augment import resample
from align_jax.data.normalise import as_network_input
from align_jax.errors import UserError
from align_jax.inference.explain_images import explain_images
from align_jax.reporting import explain_page as explained
from align_jax.runs.trained import load_trained
from align_jax.training import train_and_evaluate
from tests.tiny_config import CLASSES, Squares, get_config


@pytest.fixture(scope="module")
def trained(trained_run, tmp_path_factory):
    return load_trained(Path(shutil.copytree(trained_run, tmp_path_factory.mktemp("runs") / "run")))


def draw(path, height=32, width=32, seed=0):
    path.parent.mkdir(parents=True, exist_ok=True)
    pixels = Squares(1, seed, 12)[seed]["image"]
    Image.fromarray(pixels).resize((width, height)).save(path)
    return path


@pytest.fixture
def photos(tmp_path):
    """Two folders with images of the same name, every image format, and files that are not images."""
    folder = tmp_path / "photos"
    draw(folder / "sea" / "a.png", 40, 120, seed=0)
    draw(folder / "land" / "a.png", 90, 30, seed=1)
    draw(folder / "land" / "a.jpg", 50, 50, seed=2)
    draw(folder / "land" / "far" / "B.WEBP", 32, 48, seed=3)
    draw(folder / "c.jpeg", 2000, 1500, seed=4)
    (folder / ".hidden.png").write_bytes(b"")
    (folder / "notes.txt").write_text("no image")
    return folder


def predictions(out):
    return json.loads((out / "predictions.json").read_text())


def test_each_image_has_its_prediction_and_overlays_of_its_own_shape(trained, photos, tmp_path):
    out = tmp_path / "out"
    result = explain_images(trained, [photos], out)
    assert result.explained == 5
    assert result.skipped == ()
    rows = {row["image"]: row for row in predictions(out)["images"]}
    assert set(rows) == {
        "photos/sea/a.png", "photos/land/a.png", "photos/land/a.jpg", "photos/land/far/B.WEBP", "photos/c.jpeg"
    }  # fmt: skip
    for name, row in rows.items():
        assert sum(row["probabilities"].values()) == pytest.approx(1, abs=1e-5)
        assert tuple(row["probabilities"]) == CLASSES
        assert row["predicted"] == max(row["probabilities"], key=row["probabilities"].get)
        width, height = Image.open(photos.parent / name).size
        for kind in ("mask", "grad_cam"):
            drawn = Image.open(out / row[kind])
            assert drawn.format == "PNG"
            assert drawn.width / drawn.height == pytest.approx(width / height, rel=0.03)
            assert max(drawn.size) == np.clip(max(width, height), 256, 1024)
    files = [row[kind] for row in rows.values() for kind in ("mask", "grad_cam")]
    assert len({file.casefold() for file in files}) == 10, "two images with the same name must not share a file"


def test_probabilities_are_those_of_evaluation(trained, photos, tmp_path):
    """Batches are padded and images resized; neither may change the probabilities of a single image."""
    explain_images(trained, [photos], tmp_path / "out")
    classifier, _ = trained.networks
    state, _ = trained.states
    for row in predictions(tmp_path / "out")["images"]:
        if row["image"].endswith(".png"):
            pixels = resample(np.asarray(Image.open(photos.parent / row["image"])), 32)
            image = as_network_input({"image": jnp.asarray(pixels[None])})["image"]
            logits = np.asarray(classifier.logits(state.params, state.batch_stats, image), np.float64)[0]
            expected = np.exp(logits - logits.max()) / np.exp(logits - logits.max()).sum()
            np.testing.assert_allclose(list(row["probabilities"].values()), expected, atol=1e-5)


def test_folders_with_the_same_name_files_named_twice_and_earlier_output(trained, tmp_path):
    first = draw(tmp_path / "one" / "pets" / "a.png", seed=0)
    draw(tmp_path / "two" / "pets" / "A.png", seed=1)
    paths = [tmp_path / "one" / "pets", tmp_path / "two" / "pets", first]
    out = tmp_path / "one" / "pets" / "out"
    for _ in range(2):  # the second time the overlays of the first lie among the images
        assert explain_images(trained, paths, out).explained == 2
    names = [row["image"] for row in predictions(out)["images"]]
    assert names == ["pets/a.png", "pets/A-2.png"]


def test_long_names_are_cut_and_stay_apart(trained, tmp_path):
    names = [f"{'é' * 118}{end}" for end in ("a.jpeg", "b.jpeg", ".webp")]  # of 242 bytes and of 241
    for seed, name in enumerate(names):
        draw(tmp_path / "in" / name, seed=seed)
    out = tmp_path / "out"
    result = explain_images(trained, [tmp_path / "in"], out)
    assert (result.explained, result.skipped) == (3, ())
    rows = predictions(out)["images"]
    files = [out / row[kind] for row in rows for kind in ("mask", "grad_cam")]
    assert len(set(files)) == 6
    assert all(file.is_file() for file in files)
    assert all("\N{REPLACEMENT CHARACTER}" not in row["image"] and "?" not in row["image"] for row in rows)


def test_earlier_overlays_are_never_explained(trained, tmp_path):
    out = tmp_path / "out"
    photo = draw(out / "a.png")
    for paths in ([out], [out, out / "overlays", photo]):
        assert explain_images(trained, paths, out).explained == 1
    drawn = out / predictions(out)["images"][0]["mask"]
    for paths in ([out / "overlays"], [drawn], [drawn.parent]):
        with pytest.raises(UserError, match="There is no image in"):
            explain_images(trained, paths, out)


def test_bad_images_are_named_counted_and_skipped(trained, photos, capsys, tmp_path):
    (photos / "cut.jpg").write_bytes((photos / "c.jpeg").read_bytes()[:2000])
    (photos / "none.png").write_bytes(b"")
    out = tmp_path / "out"
    assert explain(["", f"--workdir={trained.folder}", f"--out={out}", str(photos)]) == 0
    said = capsys.readouterr().out
    assert "5 explained, 2 skipped" in said
    assert f"Page: {out / 'index.html'}" in said
    page = (out / "index.html").read_text()
    skipped = {row["name"]: row["reason"] for row in predictions(out)["skipped"]}
    assert set(skipped) == {str(photos / "cut.jpg"), str(photos / "none.png")}
    for name, reason in skipped.items():
        assert reason
        assert html.escape(name) in page
        assert f"{name}: skipped, {reason}" in said


def test_the_page_loads_nothing_and_trusts_no_name(trained, tmp_path):
    draw(tmp_path / "in" / "<script>alert('1')<" / "a&b.png")
    draw(tmp_path / "in" / "100% {{ x }} #1?.png", seed=1)
    (tmp_path / "in" / "b\udcff.png").write_bytes((tmp_path / "in" / "100% {{ x }} #1?.png").read_bytes())
    out = tmp_path / "out"
    page = explain_images(trained, [tmp_path / "in"], out).page.read_text()
    assert "<script" not in page
    assert not re.search(r"(src|href)=\"(https?:|//|/|\w+:(?!image/webp|,))", page)
    assert page.count('loading="lazy"') == page.count("<img") == 9
    for link in re.findall(r'href="(overlays[^"]*)"', page):
        from urllib.parse import unquote_to_bytes

        assert (out / unquote_to_bytes(link).decode("utf-8", "surrogateescape")).is_file(), link


def test_names_that_a_terminal_would_obey_are_written_and_printed_without_that(trained, tmp_path, capsys):
    folder, out = tmp_path / "in\x1b[31m", tmp_path / "out"
    folder.mkdir()
    for name in ("a\nb.png", "a b.png", "\udcff\x1b]0;title\x07.png", "bad\x1b[2J.png"):
        Image.fromarray(Squares(1, 5, 1)[0]["image"]).save(folder / "new.png")
        (folder / "new.png").rename(folder / name)
    (folder / "bad\x1b[2J.png").write_bytes(b"no image")
    (folder / "self.png").symlink_to("self.png")
    flags = [f"--workdir={trained.folder}", f"--out={out}"]
    assert explain(["explain.py", *flags, str(folder), str(folder / "self.png")]) == 0
    output = capsys.readouterr()
    assert all(line.isprintable() for line in (output.out + output.err).splitlines())
    assert "3 explained, 2 skipped." in output.out
    images = json.loads((out / "predictions.json").read_text())["images"]
    assert len({image["image"] for image in images}) == 3
    for image in images:
        assert image["image"].isprintable()
        assert (out / image["grad_cam"]).is_file()


def test_beyond_the_cards_of_a_page_images_are_still_explained(trained, tmp_path, monkeypatch):
    monkeypatch.setattr("align_jax.inference.explain_images.CARDS", 2)
    monkeypatch.setattr(explained, "CARDS", 2)
    for i in range(4):
        draw(tmp_path / "in" / f"{i}.png", seed=i)
    page = explain_images(trained, [tmp_path / "in"], tmp_path / "out").page.read_text()
    assert page.count("<article") == 2
    assert "2 more images are not shown" in page
    assert len(predictions(tmp_path / "out")["images"]) == 4


def test_a_run_without_a_masker_has_no_masks(tmp_path):
    config = get_config()
    config.algorithm = "erm"
    config.schedule.length, config.evaluation.every = 4, 4
    train_and_evaluate(config, tmp_path / "run")
    out = tmp_path / "run" / "explanations"
    assert explain(["", f"--workdir={tmp_path / 'run'}", str(draw(tmp_path / "one.png"))]) == 0
    (row,) = predictions(out)["images"]
    assert "mask" not in row
    assert (out / row["grad_cam"]).is_file()
    assert "Learned mask" not in (out / "index.html").read_text()


@pytest.mark.parametrize(
    ("names", "part"),
    [
        (["missing.png"], "does not exist"),
        (["empty"], "There is no image in"),
        (["bad.png"], "None of the 1 images can be read (bad.png: empty file)"),
    ],
)
def test_mistakes(trained, tmp_path, monkeypatch, capsys, names, part):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "empty").mkdir()
    (tmp_path / "bad.png").write_bytes(b"")
    assert explain(["", f"--workdir={trained.folder}", "--out=out", *names]) == 2
    error = capsys.readouterr().err
    assert part in error, error
    assert len(error.splitlines()) == 1
    assert not (tmp_path / "out").exists()


def test_only_regular_files_of_some_size_are_read(trained, tmp_path, monkeypatch):
    photos = tmp_path / "in"
    draw(tmp_path / "far.png")
    photos.mkdir()
    (photos / "linked.png").symlink_to(tmp_path / "far.png")
    os.mkfifo(photos / "pipe.png")
    (photos / "zero.jpg").symlink_to("/dev/zero")
    (photos / "nowhere.jpg").symlink_to(tmp_path / "gone.jpg")
    (photos / "giant.webp").write_bytes(b"")
    os.truncate(photos / "giant.webp", 2**20 + 1)
    monkeypatch.setattr("align_jax.data.image_files.MOST_BYTES", 2**20)
    (photos / "itself.png").symlink_to("itself.png")
    (photos / "scan.heic").write_bytes(b"?")
    said = []
    paths = [photos, Path("/dev/null"), photos / "itself.png"]
    result = explain_images(trained, paths, tmp_path / "out", said.append)
    assert result.explained == 1
    assert f"{photos}: not taken: pipes and devices (2), .heic (1)" in said
    reasons = {Path(image.name).name: image.reason for image in result.skipped}
    assert reasons == {
        "null": "not a regular file",
        "nowhere.jpg": "a link to nothing",
        "itself.png": "a link to nothing",
        "giant.webp": "larger than 1 MiB",
    }


@pytest.mark.parametrize("out", ["", "report", "gallery/x"])
def test_a_runs_own_files_are_not_written_over(trained, tmp_path, capsys, out):
    before = sorted(trained.folder.rglob("*"))
    assert (
        explain(["", f"--workdir={trained.folder}", f"--out={trained.folder / out}", str(draw(tmp_path / "a.png"))])
        == 2
    )
    assert "own files of the run" in capsys.readouterr().err
    assert sorted(trained.folder.rglob("*")) == before


def test_a_strip_is_wide_enough_to_be_looked_at():
    strip = explained.tile("Image", np.zeros((1000, 100, 3), np.uint8), 160, "")
    assert (strip.width, strip.height, strip.is_strip) == (96, 960, True)
    thin = explained.tile("Image", np.zeros((1000, 20, 3), np.uint8), 160, "")
    assert (thin.width, thin.height, thin.is_strip) == (20, 1000, True)
    plain = explained.tile("Image", np.zeros((1000, 800, 3), np.uint8), 160, "")
    assert (plain.width, plain.height, plain.is_strip) == (128, 160, False)
