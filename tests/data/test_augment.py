"""Image and mask move together; colours change the image alone; the generator decides everything."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.data.augment import (
    Augmentation,
    _brighten,
    _contrast,
    _rotate_hue,
    _saturate,
    augment,
    resample,
    resize,
)
from align_jax.data.normalise import normalise

NO_COLOUR = Augmentation(jitter=0.0, hue=0.0, grey=0.0)


def example(size=64):
    """A red image with a white square off the centre, and the square as its mask."""
    image = np.zeros((size, size, 3), np.uint8)
    image[..., 0] = 200
    mask = np.zeros((size, size, 1), np.uint8)
    mask[10:30, 35:60] = 255
    image[10:30, 35:60] = 255
    return {"image": image, "mask": mask, "label": 3}


@pytest.mark.parametrize("seed", range(8))
def test_image_and_mask_move_together(seed):
    result = augment(example(), np.random.default_rng(seed), 48, NO_COLOUR)
    assert result["image"].shape == (48, 48, 3)
    assert result["mask"].shape == (48, 48, 1)
    assert result["label"] == 3
    # green is 0 outside the square and 255 inside: it is the mask, interpolated alike
    np.testing.assert_allclose(result["image"][..., 1].astype(int), result["mask"][..., 0], atol=2)
    assert 0.05 < (result["mask"] > 127).mean() < 0.35


def test_half_of_the_images_are_flipped():
    centres = []
    for seed in range(200):
        mask = augment(example(), np.random.default_rng(seed), 64, NO_COLOUR)["mask"][..., 0]
        centres.append(np.nonzero(mask > 127)[1].mean())
    assert 0.4 < np.mean(np.array(centres) < 32) < 0.6


def test_crops_keep_the_share_of_the_area_that_was_asked_for():
    ramp = np.broadcast_to(np.arange(128, dtype=np.uint8)[None, :, None], (128, 128, 3)).copy()
    for seed in range(50):
        result = augment({"image": ramp}, np.random.default_rng(seed), 64, NO_COLOUR)["image"][..., 0].astype(int)
        assert np.ptp(result) > 0.55 * 127  # the narrowest: sqrt(0.7 * 3/4) of the width is 72 %


@pytest.mark.parametrize("field", ["jitter", "hue", "grey"])
def test_colour_changes_the_image_and_not_the_mask(field):
    strength = dataclasses.replace(NO_COLOUR, **{field: 1.0 if field == "grey" else 0.3})
    plain = augment(example(), np.random.default_rng(0), 64, NO_COLOUR)
    coloured = augment(example(), np.random.default_rng(0), 64, strength)
    assert np.abs(coloured["image"].astype(int) - plain["image"]).max() > 20
    np.testing.assert_array_equal(coloured["mask"], plain["mask"])
    if field == "grey":
        assert (coloured["image"] == coloured["image"][..., :1]).all()


def test_the_same_generator_gives_the_same_example():
    first, second, other = (augment(example(), np.random.default_rng(s), 64, Augmentation()) for s in (5, 5, 6))
    np.testing.assert_array_equal(first["image"], second["image"])
    assert not np.array_equal(first["image"], other["image"])


def test_evaluation_resizes_and_nothing_else():
    same = resize(example(), 64)
    np.testing.assert_array_equal(same["image"], example()["image"])
    half = resize(example(), 32)
    assert half["image"].shape == (32, 32, 3)
    np.testing.assert_allclose(half["image"][..., 1].astype(int), half["mask"][..., 0], atol=2)


def test_normalise():
    image = np.random.default_rng(0).integers(0, 256, (2, 5, 5, 3), dtype=np.uint8)
    normalised = normalise(jnp.asarray(image))
    np.testing.assert_allclose(normalised[0, 0, 0, 0], (image[0, 0, 0, 0] / 255 - 0.485) / 0.229, rtol=1e-5)
    np.testing.assert_allclose(normalised[1, 2, 3, 2], (image[1, 2, 3, 2] / 255 - 0.406) / 0.225, rtol=1e-5)


def test_colours_are_those_of_their_definitions():
    """Against the formulas written out, at 64 bits: each change within a rounding of what torchvision defines."""
    image = np.random.default_rng(0).integers(0, 256, (20, 20, 3), dtype=np.uint8)
    grey = image @ np.array([0.299, 0.587, 0.114])

    brighter, contrasted, saturated = (change(image, 1.25) for change in (_brighten, _contrast, _saturate))
    np.testing.assert_allclose(brighter, np.clip(1.25 * image, 0, 255), atol=0.51)
    np.testing.assert_allclose(contrasted, np.clip(1.25 * image - 0.25 * grey.mean(), 0, 255), atol=0.76)
    np.testing.assert_allclose(saturated, np.clip(1.25 * image - 0.25 * grey[..., None], 0, 255), atol=0.76)
    # a quarter turn: pure red becomes yellow-green, halfway between yellow and green; value and saturation stay
    red = np.full((4, 4, 3), (200, 0, 0), np.uint8)
    np.testing.assert_allclose(_rotate_hue(red, 0.25)[0, 0], (100, 200, 0), atol=4)
    np.testing.assert_allclose(_rotate_hue(image, 0.25).max(-1), image.max(-1), atol=1)


@pytest.mark.parametrize("shape", [(64, 64), (300, 200), (20, 500), (10, 10)])
def test_any_shape_comes_out_square(shape):
    random = np.random.default_rng(0)
    image = random.integers(0, 256, (*shape, 3), dtype=np.uint8)
    mask = random.integers(0, 256, (*shape, 1), dtype=np.uint8)
    for result in (augment({"image": image, "mask": mask}, random, 32, Augmentation()), resize({"image": image}, 32)):
        assert result["image"].shape == (32, 32, 3)
    assert resize({"image": image, "mask": mask}, 32)["mask"].shape == (32, 32, 1)


def test_shrinking_averages():
    """A fine checkerboard becomes its mean: sampling it would give black or white."""
    board = np.indices((64, 64)).sum(0)[..., None] % 2 * np.full(3, 255)
    assert set(np.unique(resample(board.astype(np.uint8), 16))) <= {127, 128}
    stripes = np.broadcast_to((np.arange(500) % 2 * 255)[None, :, None], (8, 500, 3)).astype(np.uint8)
    assert np.ptp(resample(stripes, 25)) <= 1  # shrinks along one side, grows along the other
