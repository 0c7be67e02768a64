import dataclasses

import numpy as np
import pytest
from PIL import Image

from align_jax.reporting import gallery_cards as gallery
from align_jax.reporting import overlays
from align_jax.runs.read import read_run
from align_jax.runs.read_arrays import read_gallery
from tests.finished_run import write_run


def test_columns_of_a_comparison(make_run):
    runs = {"ALIGN": read_run(make_run("align")), "ERM": read_run(make_run("erm"))}
    groups, left_out = gallery.gallery_cards(runs)
    cards = [card for group in groups for card in group.cards]
    assert len(cards) == 3
    assert left_out == []
    assert [(tile.title, tile.method) for tile in cards[0].tiles] == [
        ("Image", ""),
        ("Learned mask", ""),
        ("True mask", ""),
        ("Grad-CAM before", "ALIGN"),
        ("Grad-CAM after", "ALIGN"),
        ("Grad-CAM", "ERM"),
    ]
    assert len({tile.uri for tile in cards[0].tiles}) == 6
    assert [prediction.method for prediction in cards[0].predictions] == ["ALIGN", "ERM"]


def test_a_run_without_masks_shows_image_and_grad_cam(make_run):
    run = make_run("erm")
    path = run / "gallery" / "final.npz"
    arrays = dict(np.load(path))
    del arrays["true_mask"]
    np.savez(path, **arrays)
    groups, _ = gallery.gallery_cards({"ERM": read_run(run)})
    assert [tile.title for tile in groups[0].cards[0].tiles] == ["Image", "Grad-CAM"]
    assert all(tile.score == "" for tile in groups[0].cards[0].tiles)


def test_right_and_wrong_are_told_apart(make_run):
    run = read_run(make_run())
    arrays = read_gallery(run.path)
    groups, _ = gallery.gallery_cards({"ALIGN": run})
    for group, i in zip(groups, range(3), strict=False):
        assert group.cards[0].predictions[0].right == (arrays.label[i] == arrays.predicted[i])


def test_a_run_with_other_images_is_left_out_and_named(make_run):
    align, erm = make_run("align"), make_run("erm")
    path = erm / "gallery" / "final.npz"
    arrays = dict(np.load(path))
    arrays["image"] = 255 - arrays["image"]
    np.savez(path, **arrays)
    groups, left_out = gallery.gallery_cards({"ALIGN": read_run(align), "ERM": read_run(erm)})
    assert left_out == ["ERM"]
    assert [prediction.method for prediction in groups[0].cards[0].predictions] == [""]
    with pytest.raises(ValueError, match=r"no picture can be made.*same images"):
        gallery.gallery_figure(align, align / "gallery.png", compared_with=erm)


def test_scores_against_a_true_mask():
    true = np.zeros((4, 4), np.float32)
    true[:2] = 1
    learned = np.zeros((4, 4), np.float32)
    learned[1:3] = 0.9
    assert gallery.mask_iou(learned, true) == pytest.approx(4 / 12)
    assert gallery.cam_energy(learned, true) == pytest.approx(0.5)
    assert gallery.mask_iou(np.zeros_like(true), np.zeros_like(true)) is None
    assert gallery.cam_energy(np.zeros_like(true), true) is None


def test_the_chosen_images_take_turns_and_do_not_depend_on_the_networks(make_run):
    content = read_gallery(make_run(images=12))
    picked = gallery.chosen(content, 6)
    assert len(set(picked)) == 6
    assert content.role[picked[0]] == "ood"
    assert len({(content.role[i], content.domain[i]) for i in picked}) == 5
    other = dataclasses.replace(
        content,
        predicted=(content.predicted + 1) % 5,
        probability=1 - content.probability,
        grad_cam=1 - content.grad_cam,
    )
    assert gallery.chosen(other, 6) == picked
    assert len(gallery.chosen(content, 99)) == 12


def test_figure_opens_and_has_one_tile_a_column(make_run):
    align, erm = make_run("align", images=12), make_run("erm", images=12)
    both = gallery.gallery_figure(align, align / "pictures" / "both.png", compared_with=erm)
    alone = gallery.gallery_figure(align, align / "pictures" / "alone.png", rows=2)
    assert both.stat().st_size <= gallery.FIGURE_BYTES
    with Image.open(both) as wide, Image.open(alone) as narrow:
        wide.load()
        narrow.load()
        assert wide.format == "PNG"
        assert wide.width - narrow.width == gallery.FIGURE_TILE + 4
        assert wide.height - narrow.height == 4 * (gallery.FIGURE_TILE + 4)
        assert wide.convert("RGB").getpixel((1, 1)) == (255, 255, 255)
    assert [path.name for path in sorted(both.parent.iterdir())] == ["alone.png", "both.png"]


def test_figure_of_two_runs_of_one_method_has_the_columns_of_both(make_run):
    first = make_run("align")
    second = write_run(first.parent / "again", "align", images=3)
    with Image.open(gallery.gallery_figure(first, first / "both.png", compared_with=second)) as both:
        # Image, true mask, and of each run a learned mask and two Grad-CAMs.
        assert both.width > 8 * gallery.FIGURE_TILE


def test_figure_without_a_gallery_is_refused(make_run):
    run = make_run("erm")
    (run / "gallery" / "final.npz").unlink()
    with pytest.raises(ValueError, match="no picture can be made"):
        gallery.gallery_figure(run, run / "gallery.png")


def test_overlays_leave_the_object_and_darken_the_rest():
    image = np.full((8, 8, 3), 200, np.uint8)
    mask = np.zeros((8, 8), np.float32)
    mask[:, :4] = 1
    seen = overlays.mask_overlay(image, mask)
    np.testing.assert_array_equal(seen[:, :4], image[:, :4])
    assert seen[:, 4:].max() < 80
    heat = overlays.heat_overlay(image, mask).astype(int)
    assert heat[:, :4].sum() > heat[:, 4:].sum()


def test_images_keep_their_proportions():
    assert overlays.enlarged_image(np.zeros((32, 64, 3), np.uint8), 128).shape == (64, 128, 3)
    values = np.zeros((4, 4), np.float32)
    values[1, 1] = 1
    large = overlays.enlarged_map(values, 64)
    assert large.shape == (64, 64)
    assert 0 <= large.min() <= large.max() <= 1
