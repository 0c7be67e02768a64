"""True masks made worse: in the order of the list, the same for an example whenever it is read, and never the image."""

import itertools

import cv2
import numpy as np
import pytest

from align_jax.data.degraded_masks import QUALITIES, SHIFT, degraded, with_quality

RANDOM = ("shifted", "noisy", "random")


def objects(number=120, side=64):
    """Soft-edged ellipses of emoji_scenes' usual sizes, as {id: mask}."""
    generator = np.random.default_rng(0)
    masks = {}
    for index in range(number):
        diameters = generator.uniform(0.4, 0.8, 2) * side
        centre = generator.uniform(0.35, 0.65, 2) * side
        mask = np.zeros((side, side), np.uint8)
        cv2.ellipse(mask, (centre.tolist(), diameters.tolist(), 0.0), 255, thickness=cv2.FILLED, lineType=cv2.LINE_AA)
        masks[f"noto_train_{index}"] = mask[..., None]
    return masks


def iou(mask, true):
    mask, true = mask > 127, true > 127
    return (mask & true).sum() / (mask | true).sum()


def mean_iou(quality, masks):
    return np.mean([iou(degraded(mask, quality, name), mask) for name, mask in masks.items()])


def test_iou_falls_over_the_list_from_1_to_0():
    ious = [mean_iou(quality, objects()) for quality in QUALITIES]
    assert ious[0] == 1
    assert ious[-1] < 0.01
    # By so much that each quality has a place of its own in a figure.
    assert all(better - worse > 0.04 for better, worse in itertools.pairwise(ious)), ious


def test_strengths_are_in_units_of_the_side():
    """The same object at twice the size has about the same IoU."""
    small, large = objects(side=64), objects(side=128)
    for quality in QUALITIES:
        assert mean_iou(quality, small) == pytest.approx(mean_iou(quality, large), abs=0.05), quality


@pytest.mark.parametrize("quality", QUALITIES)
@pytest.mark.parametrize("shape", [(64, 64, 1), (20, 31, 1), (1, 1, 1)])
def test_a_mask_stays_one_of_its_size_and_is_not_written_to(quality, shape):
    mask = np.random.default_rng(1).integers(0, 256, shape, dtype=np.uint8)
    before = mask.copy()
    result = degraded(mask, quality, "a")
    assert (result.shape, result.dtype) == (shape, np.uint8)
    np.testing.assert_array_equal(mask, before)


@pytest.mark.parametrize("quality", QUALITIES)
def test_what_is_random_is_a_function_of_the_id(quality):
    mask = objects(1)["noto_train_0"]
    of_one = degraded(mask, quality, "a")
    np.testing.assert_array_equal(degraded(mask, quality, "a"), of_one)
    others = [degraded(mask, quality, name) for name in "bcde"]
    assert any((other != of_one).any() for other in others) == (quality in RANDOM)


def test_the_seed_is_the_same_in_every_process():
    """A value that was written down: Python's own hash of a text would give another one each time."""
    cells = degraded(np.zeros((32, 32, 1), np.uint8), "noisy", "a")[::2, ::2, 0] > 0
    assert cells.sum(axis=1)[:6].tolist() == [7, 5, 3, 4, 6, 3]


def test_an_outline_moves_by_the_same_length_on_every_side():
    mask = np.zeros((64, 96, 1), np.uint8)
    mask[20:40, 30:70] = 255
    wider, narrower = degraded(mask, "dilated", "a"), degraded(mask, "eroded", "a")
    assert extent(wider) == (18, 42, 28, 72)
    assert extent(narrower) == (22, 38, 32, 68)
    assert (narrower <= mask).all()
    assert (mask <= wider).all()


def extent(mask):
    rows, columns = (np.flatnonzero((mask > 127).any(axis=axes)) for axes in ((1, 2), (0, 2)))
    return rows[0], rows[-1] + 1, columns[0], columns[-1] + 1


def test_a_shift_has_one_length_and_any_direction():
    mask = np.zeros((80, 80, 1), np.uint8)
    mask[30:50, 30:50] = 255
    rows, columns = np.mgrid[:80, :80]

    def centre(values):
        weights = values[..., 0] / values.sum(dtype=float)
        return np.array([(weights * rows).sum(), (weights * columns).sum()])

    moves = np.array([centre(degraded(mask, "shifted", str(name))) - centre(mask) for name in range(40)])
    np.testing.assert_allclose(np.linalg.norm(moves, axis=1), SHIFT * 80, atol=0.2)
    assert len({(bool(down), bool(right)) for down, right in moves > 0}) == 4


def test_blurring_spreads_a_mask_evenly():
    mask = np.zeros((64, 64, 1), np.uint8)
    mask[26:38, 26:38] = 255
    soft = degraded(mask, "blurred", "a")
    assert soft.max() < 128 < mask.max()
    np.testing.assert_array_equal(soft, soft[::-1, ::-1])
    assert (np.diff(soft[32, 32:, 0].astype(int)) <= 0).all()
    assert soft.sum(dtype=float) == pytest.approx(mask.sum(dtype=float), rel=0.05)


def test_inverted_is_the_complement():
    for mask in objects(8).values():
        assert (degraded(mask, "inverted", "a").astype(int) + mask == 255).all()


def test_random_ignores_the_image():
    empty, full = np.zeros((48, 64, 1), np.uint8), np.full((48, 64, 1), 255, np.uint8)
    for name in "abcdef":
        of_empty = degraded(empty, "random", name)
        np.testing.assert_array_equal(of_empty, degraded(full, "random", name))
        assert 0 < (of_empty > 127).mean() < 1


class Examples:
    def __init__(self, masks):
        self.masks = list(masks.items())

    def __len__(self):
        return len(self.masks)

    def __getitem__(self, index):
        name, mask = self.masks[index]
        return {"image": np.repeat(mask, 3, axis=2), "label": 1, "id": name, "mask": mask}


def test_sources_are_changed_in_their_masks_alone():
    masks = objects(3)
    sources = with_quality({"noto": Examples(masks), "openmoji": Examples(masks)}, "inverted")
    assert list(sources) == ["noto", "openmoji"]
    assert all(len(source) == 3 for source in sources.values())
    for index, (name, mask) in enumerate(masks.items()):
        example = sources["openmoji"][index]
        np.testing.assert_array_equal(example["mask"], 255 - mask)
        np.testing.assert_array_equal(example["image"], np.repeat(mask, 3, axis=2))
        assert (example["id"], example["label"]) == (name, 1)
