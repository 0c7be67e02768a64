"""The pictures of explanations: of a tiny run, each is there and shows what it should."""

import shutil
from pathlib import Path

import numpy as np
from PIL import Image

import tests.tiny_config  # noqa: F401  (its data set and networks)
from align_jax.runs.trained import load_trained
from experiments import explanation_figures as figures

METHODS = ("grad_cam", "gradient")


def test_all_pictures_and_the_table(trained_run, tmp_path):
    trained = load_trained(Path(shutil.copytree(trained_run, tmp_path / "run")))
    out = tmp_path / "out"
    table = figures.write_figures(trained, out, images=4, methods=METHODS)
    assert sorted(path.name for path in out.iterdir()) == ["curves.png", "randomisation.png", "sheet.jpg"]
    for path in out.iterdir():
        assert np.asarray(Image.open(path).convert("L")).std() > 5
    for title in ("Grad-CAM", "Gradient", "Learned mask", "Random", "Centre", "Edges", "Comprehensiveness"):
        assert title in table


def test_layers_become_random_from_the_logits_down(trained_run):
    trained = load_trained(trained_run)
    spoilt = figures.randomisation(trained, np.zeros((2, 32, 32, 3), np.uint8), METHODS)
    assert list(spoilt["Gradient"]) == ["fc", "layer1_0", "bn1", "conv1"]
    axes = figures.draw_randomisation(spoilt).axes[0]
    assert [label.get_text() for label in axes.get_xticklabels()] == ["none", "fc", "layer1_0", "bn1", "conv1"]
    for line in axes.lines:
        if line.get_label() in spoilt:
            of_layer = spoilt[line.get_label()].values()
            means = [np.nan if np.isnan(values).all() else np.nanmean(values) for values in of_layer]
            np.testing.assert_allclose(line.get_ydata(), [1, *means])


def test_no_two_lines_look_alike():
    styles = [str(figures._line(place, "")) for place in range(12)]
    assert len(set(styles)) == 12
