import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.explanations import imputed, road

from .small_network import ERASER, IMAGE, PREDICTED, probabilities

MAPS = jnp.asarray(ERASER["saliency/gradcam"], jnp.float32)


def solved(image, removed):
    """The linear system written out pixel by pixel, solved in float64."""
    height, width, _ = image.shape
    unknown = [tuple(place) for place in np.argwhere(removed)]
    number = {place: i for i, place in enumerate(unknown)}
    matrix, right = np.zeros((len(unknown),) * 2), np.zeros((len(unknown), image.shape[2]))
    for (row, column), i in number.items():
        for across in (-1, 0, 1):
            for along in (-1, 0, 1):
                place = (row + across, column + along)
                if (across, along) == (0, 0) or not (0 <= place[0] < height and 0 <= place[1] < width):
                    continue
                weight = 1 / 12 if across and along else 1 / 6
                matrix[i, i] += weight
                if place in number:
                    matrix[i, number[place]] -= weight
                else:
                    right[i] += weight * image[place]
    filled = image.astype(np.float64).copy()
    for place, value in zip(unknown, np.linalg.solve(matrix, right), strict=True):
        filled[place] = value
    return filled


@pytest.mark.parametrize(("share", "tolerance"), [(0.2, 1e-5), (0.5, 1e-5), (0.8, 1e-5), (0.99, 5e-5)])
def test_imputation_solves_the_system(share, tolerance):
    removed = np.asarray(MAPS) >= np.quantile(np.asarray(MAPS), 1 - share, axis=(1, 2), keepdims=True)
    found = imputed(IMAGE, jnp.asarray(removed))
    for image, gone, value in zip(np.asarray(IMAGE), removed, found, strict=True):
        np.testing.assert_allclose(value, solved(image, gone), atol=tolerance)


def test_known_pixels_stay_and_a_removed_image_becomes_its_mean():
    removed = jnp.zeros((8, 16, 16), bool).at[:, 3:9, 2:7].set(True).at[5].set(True)
    found = imputed(IMAGE, removed)
    np.testing.assert_array_equal(found[~removed], IMAGE[~removed])
    np.testing.assert_allclose(found[5], jnp.broadcast_to(IMAGE[5].mean((0, 1)), (16, 16, 3)), atol=1e-6)
    constant = imputed(jnp.full_like(IMAGE, 0.7), removed)
    np.testing.assert_allclose(constant, 0.7, atol=1e-5)
    far = imputed(IMAGE + 50, removed)  # where the values lie does not matter
    np.testing.assert_allclose(far - 50, found, atol=1e-4)
    noisy = imputed(IMAGE, removed, jax.random.normal(jax.random.key(0), IMAGE.shape))
    np.testing.assert_array_equal(noisy[~removed], IMAGE[~removed])
    assert (noisy[removed] != found[removed]).all()


@pytest.mark.parametrize("most_relevant_first", [True, False])
def test_probabilities_along_removal(most_relevant_first):
    fractions = (0.2, 0.5, 0.8)
    found = road(probabilities, IMAGE, MAPS, fractions=fractions, most_relevant_first=most_relevant_first, noise=0.0)
    order = np.argsort(-np.asarray(MAPS).reshape(8, -1), axis=1)
    for column, count in enumerate((51, 128, 205)):
        gone = np.zeros((8, 256), bool)
        np.put_along_axis(gone, order[:, :count] if most_relevant_first else order[:, 256 - count :], True, axis=1)
        images = [solved(image, mask.reshape(16, 16)) for image, mask in zip(np.asarray(IMAGE), gone, strict=True)]
        expected = probabilities(jnp.asarray(np.stack(images), jnp.float32))[np.arange(8), PREDICTED]
        np.testing.assert_allclose(found[:, column], expected, atol=1e-5)


def test_noise_follows_from_the_key_and_degenerate_maps_have_no_score():
    score = jax.jit(lambda maps, key: road(probabilities, IMAGE, maps, key=key, fractions=(0.5,)))
    first = score(MAPS, jax.random.key(0))
    np.testing.assert_array_equal(first, score(MAPS, jax.random.key(0)))
    assert (first != score(MAPS, jax.random.key(1))).any()
    assert np.isnan(score(jnp.zeros_like(MAPS), jax.random.key(0))).all()
    with pytest.raises(ValueError, match=r"noise 0.01 needs a key: give key=jax.random.key\(0\), or noise=0"):
        road(probabilities, IMAGE, MAPS)
    with pytest.raises(ValueError, match=r"fractions \(0.5, 1.0\) must be one or more numbers between 0 and 1"):
        road(probabilities, IMAGE, MAPS, noise=0.0, fractions=(0.5, 1.0))
