import jax
import jax.numpy as jnp
import numpy as np
from scipy.ndimage import sobel

from align_jax.explanations import centre_map, edge_map, random_map

from .small_network import IMAGE


def test_random_maps_are_uniform_and_follow_from_the_key():
    noise = random_map(jax.random.key(0), (4, 32, 32))
    np.testing.assert_array_equal(noise, random_map(jax.random.key(0), (4, 32, 32)))
    assert not np.array_equal(noise, random_map(jax.random.key(1), (4, 32, 32)))
    assert noise.shape == (4, 32, 32)
    np.testing.assert_allclose(np.quantile(noise, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


def test_the_centre_map_falls_with_the_distance_from_the_centre():
    found = np.asarray(centre_map((2, 9, 13)))
    assert found.shape == (2, 9, 13)
    assert found[0, 4, 6] == 1
    row, column = np.mgrid[:9, :13]
    distance = np.hypot(row - 4, column - 6)
    np.testing.assert_allclose(found[1], np.exp(-(distance**2) / (2 * 2.25**2)), rtol=1e-5)


def test_edges_are_the_longest_sobel_gradient_of_a_channel():
    image = np.moveaxis(np.asarray(IMAGE, np.float64), -1, 1)  # SciPy smooths along every axis but one
    lengths = [[np.hypot(*(sobel(channel, axis, mode="nearest") for axis in (0, 1))) for channel in x] for x in image]
    length = np.array(lengths).max(axis=1)
    expected = length / length.max(axis=(1, 2), keepdims=True)
    np.testing.assert_allclose(edge_map(IMAGE), expected, atol=1e-5)
    np.testing.assert_array_equal(edge_map(jnp.full((1, 5, 6, 2), 0.3)), 0)
