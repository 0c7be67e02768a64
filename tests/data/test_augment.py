"""Image and mask move together; colours change the image alone; the generator decides everything."""

import dataclasses

import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.data.augment import Augmentation, augment, resize
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
