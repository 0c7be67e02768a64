import numpy as np
import pytest

from align_jax.reporting import gallery_cards as gallery
from align_jax.reporting import overlays
from align_jax.runs.read import read_run
from align_jax.runs.read_arrays import read_gallery


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


def test_scores_against_a_true_mask():
    true = np.zeros((4, 4), np.float32)
    true[:2] = 1
    learned = np.zeros((4, 4), np.float32)
    learned[1:3] = 0.9
    assert gallery.mask_iou(learned, true) == pytest.approx(4 / 12)
    assert gallery.cam_energy(learned, true) == pytest.approx(0.5)
    assert gallery.mask_iou(np.zeros_like(true), np.zeros_like(true)) is None
    assert gallery.cam_energy(np.zeros_like(true), true) is None


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
