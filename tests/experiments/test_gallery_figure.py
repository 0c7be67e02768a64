import dataclasses

import numpy as np
import pytest
from PIL import Image

from align_jax.runs.read_arrays import read_gallery
from experiments import gallery_figure as figure
from tests.finished_run import make_run, write_run

__all__ = ["make_run"]


def test_the_chosen_images_take_turns_and_do_not_depend_on_the_networks(make_run):
    content = read_gallery(make_run(images=12))
    picked = figure.chosen(content, 6)
    assert len(set(picked)) == 6
    assert content.role[picked[0]] == "ood"
    assert len({(content.role[i], content.domain[i]) for i in picked}) == 5
    other = dataclasses.replace(
        content,
        predicted=(content.predicted + 1) % 5,
        probability=1 - content.probability,
        grad_cam=1 - content.grad_cam,
    )
    assert figure.chosen(other, 6) == picked
    assert len(figure.chosen(content, 99)) == 12


def test_figure_opens_and_has_one_tile_a_column(make_run):
    align, erm = make_run("align", images=12), make_run("erm", images=12)
    both = figure.gallery_figure(align, align / "pictures" / "both.png", compared_with=erm)
    alone = figure.gallery_figure(align, align / "pictures" / "alone.png", rows=2)
    assert both.stat().st_size <= figure.FIGURE_BYTES
    with Image.open(both) as wide, Image.open(alone) as narrow:
        wide.load()
        narrow.load()
        assert wide.format == "PNG"
        assert wide.width - narrow.width == figure.FIGURE_TILE + 4
        assert wide.height - narrow.height == 4 * (figure.FIGURE_TILE + 4)
        assert wide.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert [path.name for path in sorted(both.parent.iterdir())] == ["alone.png", "both.png"]


def test_figure_of_two_runs_of_one_method_has_the_columns_of_both(make_run):
    first = make_run("align")
    second = write_run(first.parent / "again", "align", images=3)
    with Image.open(figure.gallery_figure(first, first / "both.png", compared_with=second)) as both:
        # Image, true mask, and of each run a learned mask and two Grad-CAMs.
        assert both.width > 8 * figure.FIGURE_TILE


def test_figure_without_a_gallery_is_refused(make_run):
    run = make_run("erm")
    (run / "gallery" / "final.npz").unlink()
    with pytest.raises(ValueError, match="no picture can be made"):
        figure.gallery_figure(run, run / "gallery.png")


def test_figure_of_runs_with_other_images_is_refused(make_run):
    align, erm = make_run("align"), make_run("erm")
    path = erm / "gallery" / "final.npz"
    arrays = dict(np.load(path))
    arrays["image"] = 255 - arrays["image"]
    np.savez(path, **arrays)
    with pytest.raises(ValueError, match=r"no picture can be made.*same images"):
        figure.gallery_figure(align, align / "gallery.png", compared_with=erm)


def test_the_command_writes_the_figure(make_run, monkeypatch, capsys):
    run = make_run()
    monkeypatch.setattr("sys.argv", ["gallery_figure", str(run), f"--to={run / 'gallery.png'}", "--rows=2"])
    assert figure.main() == 0
    assert capsys.readouterr().out.strip() == str(run / "gallery.png")
    assert (run / "gallery.png").read_bytes()[:4] == b"\x89PNG"
