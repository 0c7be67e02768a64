import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from align_jax.saliency import Preprocessing, sheet

IMAGES = jnp.asarray(np.random.default_rng(0).integers(0, 255, (2, 12, 16, 3), np.uint8))
RAMP = jnp.broadcast_to(jnp.linspace(0, 1, 192).reshape(12, 16), (2, 12, 16))


def pixels(png):
    return np.asarray(Image.open(io.BytesIO(png)).convert("RGB"), np.float32)


def test_rows_are_images_and_columns_are_methods():
    one = pixels(sheet(IMAGES, {"a": RAMP}))
    more = pixels(sheet(IMAGES[:1], {"a": RAMP[:1], "b": RAMP[:1], "c": RAMP[:1]}))
    assert more.shape[1] > 1.7 * one.shape[1]
    assert more.shape[0] < 0.8 * one.shape[0]


def test_each_map_has_its_own_scale_unless_they_share_one():
    small = {"a": RAMP, "b": 0.1 * RAMP[:, ::2, ::4]}
    alone, shared = (
        pixels(sheet(IMAGES, small)),
        pixels(sheet(IMAGES, small, shared_scale=True)),
    )
    columns = slice(int(0.68 * alone.shape[1]), -40)
    rows = slice(60, 160)
    assert alone[rows, columns].mean() > shared[rows, columns].mean() + 10  # the weaker map is darker
    first = slice(int(0.4 * alone.shape[1]), int(0.6 * alone.shape[1]))
    np.testing.assert_allclose(alone[rows, first].mean(), shared[rows, first].mean(), atol=1)


def test_zero_is_grey_in_a_signed_map():
    grey = np.full((1, 12, 16, 3), 189, np.uint8)  # #bdbdbd
    signed = jnp.zeros((1, 12, 16)).at[0, 0, 0].set(-1.0)
    drawn = pixels(sheet(jnp.asarray(grey), {"signed": signed}, opacity=1.0))
    place = drawn[drawn.shape[0] // 3, int(0.75 * drawn.shape[1])]
    np.testing.assert_allclose(place, 189, atol=2)


def test_images_as_the_model_sees_them_are_shown_as_they_were():
    as_seen = Preprocessing((0.4, 0.5, 0.6), (0.2, 0.3, 0.25))
    normalised = as_seen.normalise(IMAGES)
    np.testing.assert_allclose(
        pixels(sheet(normalised, {"a": RAMP}, preprocessing=as_seen)),
        pixels(sheet(IMAGES, {"a": RAMP})),
        atol=1,
    )


def test_maps_without_a_value_have_no_colour():
    for level in (0.0, jnp.nan):
        assert np.isfinite(pixels(sheet(IMAGES, {"a": jnp.full((2, 3, 4), level)}))).all()


@pytest.mark.parametrize(
    ("arguments", "options", "message"),
    [
        ((IMAGES, {}), {}, "no maps were given"),
        ((IMAGES, {"a": RAMP}), {"names": ("x",)}, "1 names were given for 2 images"),
        ((IMAGES, {"a": RAMP}), {"opacity": 0.0}, r"an opacity of 0.0 does not lie in \(0, 1\]"),
        ((IMAGES / 100, {"a": RAMP}), {}, "are neither 8-bit nor in .0, 1.: say how they were normalised"),
    ],
)
def test_refusals(arguments, options, message):
    with pytest.raises(ValueError, match=message):
        sheet(jnp.asarray(arguments[0]), arguments[1], **options)
