"""A model's normalisation as a value: it and its inverse, black, and what is refused."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.data.normalise import normalise

HALF = saliency.Preprocessing([0.5, 0.25], std=[0.5, 2.0])


def test_bytes_and_floats_are_normalised_alike_and_back():
    image = jax.random.randint(jax.random.key(0), (2, 3, 4, 2), 0, 256).astype(jnp.uint8)
    floats = image / 255
    found = HALF.normalise(image)
    chex.assert_trees_all_close(found, (np.asarray(floats) - np.array([0.5, 0.25])) / np.array([0.5, 2]), atol=1e-6)
    chex.assert_trees_all_close(HALF.normalise(floats), found, atol=1e-6)
    chex.assert_trees_all_close(HALF.denormalise(found), floats, atol=1e-6)
    chex.assert_trees_all_close(HALF.black(), HALF.normalise(jnp.zeros((1, 1, 1, 2)))[0, 0, 0])
    assert HALF.normalise(floats.astype(jnp.bfloat16)).dtype == jnp.float32


def test_imagenets_is_that_of_the_data():
    image = jax.random.randint(jax.random.key(0), (2, 3, 4, 3), 0, 256).astype(jnp.uint8)
    chex.assert_trees_all_close(saliency.IMAGENET.normalise(image), normalise(image), atol=1e-6)


def test_it_is_a_value_that_a_compiled_function_can_know():
    assert saliency.Preprocessing((0.5, 0.25), (0.5, 2.0)) == HALF
    assert len({HALF, saliency.Preprocessing((0.5, 0.25), (0.5, 2.0))}) == 1


@pytest.mark.parametrize(
    ("mean", "std", "sentence"),
    [
        ((0.5,), (0.5, 0.5), "mean has 1 channels and std 2: give as many"),
        ((), (), "mean has 0 channels"),
        ((0.5,), (0.0,), r"std \(0.0,\) must be positive"),
        ((float("nan"),), (1.0,), "must be finite"),
    ],
)
def test_wrong_numbers_are_refused(mean, std, sentence):
    with pytest.raises(ValueError, match=sentence):
        saliency.Preprocessing(mean, std)


def test_wrong_images_are_refused():
    with pytest.raises(TypeError, match="type int32 has no known range"):
        HALF.normalise(jnp.zeros((1, 2, 2, 2), jnp.int32))
    with pytest.raises(ValueError, match=r"shape \[1, 2, 2, 3\] does not have 2 channels"):
        HALF.denormalise(jnp.zeros((1, 2, 2, 3)))
