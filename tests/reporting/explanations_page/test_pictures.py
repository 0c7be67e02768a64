import base64
import io

import jax.numpy as jnp
import numpy as np
import pytest
from PIL import Image

from align_jax.explanations.maps import pixel_ranks
from align_jax.reporting.explanations_page.pictures import heat_uri, mask_uri, most_important, picture_uri


def decoded(uri, mode):
    return np.asarray(Image.open(io.BytesIO(base64.b64decode(uri.partition(",")[2]))).convert(mode))


@pytest.mark.parametrize("fraction", [0.07, 0.2, 0.501])
def test_the_most_important_pixels_are_those_of_the_metrics(fraction):
    saliency = np.random.default_rng(0).integers(0, 20, (10, 10)).astype(np.float32)  # with many equal values
    ranks = np.asarray(pixel_ranks(jnp.asarray(saliency)[None]))[0]
    top = most_important(saliency, fraction)
    assert top.sum() == np.ceil(100 * fraction - 1e-9)
    np.testing.assert_array_equal(top, ranks < top.sum())


def test_a_map_without_an_order_has_no_most_important_pixels():
    assert most_important(np.ones((4, 4), np.float32), 0.2) is None
    assert most_important(np.full((4, 4), np.nan, np.float32), 0.2) is None


def test_a_mask_is_opaque_by_the_share_of_its_pixels():
    top = np.zeros((8, 16), bool)
    top[:, 8:] = True
    top[:4, 4:8] = np.eye(4, dtype=bool)[::-1] | np.eye(4, dtype=bool)
    opacity = decoded(mask_uri(top, 4), "RGBA")[..., 3]
    assert opacity.shape == (2, 4)
    np.testing.assert_array_equal(opacity[1], [0, 0, 255, 255])
    assert opacity[0, 1] == pytest.approx(255 / 2, abs=255 / 14 + 1)
    assert decoded(mask_uri(top, 99), "RGBA").shape == (8, 16, 4)  # never enlarged


def test_heat_is_dark_at_zero_and_light_at_one():
    heat = np.zeros((16, 16), np.float32)
    heat[:, 8:] = 1
    heat[0, 0] = np.nan
    drawn = decoded(heat_uri(heat, 64), "L").astype(int)
    assert drawn.shape == (16, 16)
    assert drawn[:, :7].max() < 40
    assert drawn[:, 9:].min() > 200


def test_pictures_keep_their_shape_and_are_never_enlarged():
    image = np.zeros((40, 80, 3), np.uint8)
    assert decoded(picture_uri(image, 20), "RGB").shape == (10, 20, 3)
    assert decoded(picture_uri(image, 200), "RGB").shape == (40, 80, 3)
