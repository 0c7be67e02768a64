"""Every method by its name: maps that can be shown and scored alike."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.saliency.by_name import KEY

IMAGE = jax.random.normal(jax.random.key(0), (2, 8, 8, 3))
WEIGHTS = jax.random.normal(jax.random.key(1), (3, 4))
OUT = jax.random.normal(jax.random.key(2), (4, 5))
CUT = saliency.cut(lambda x: jax.nn.relu(x[:, ::2, ::2] @ WEIGHTS), lambda a: (a**2).mean((1, 2)) @ OUT)
TARGET = jnp.array([1, 3])


@pytest.mark.parametrize("name", saliency.METHODS)
def test_a_map_is_between_0_and_1_at_the_images_resolution(name):
    explain = jax.jit(saliency.METHODS[name])
    maps = explain(CUT, IMAGE, TARGET)
    assert maps.shape == (2, 8, 8)
    assert maps.dtype == jnp.float32
    assert float(maps.min()) >= -1e-6
    np.testing.assert_allclose(maps.max((1, 2)), 1, atol=1e-6)
    np.testing.assert_array_equal(maps, explain(CUT, IMAGE, TARGET))
    other = explain(CUT, IMAGE, (TARGET + 1) % 5)
    assert jnp.abs(maps - other).max() > 1e-3, "a map is of the class that is asked for"


def test_what_a_name_stands_for():
    names = ("layer_cam", "gradient", "integrated_gradients")
    found = {name: jax.jit(saliency.METHODS[name])(CUT, IMAGE, TARGET) for name in names}
    np.testing.assert_allclose(
        found["layer_cam"], saliency.shown(saliency.layer_cam(CUT, IMAGE, TARGET), 8, 8), atol=1e-6
    )
    size = jnp.abs(saliency.gradient(CUT, IMAGE, TARGET)).sum(-1)
    np.testing.assert_allclose(found["gradient"], size / size.max((1, 2), keepdims=True), atol=1e-6)
    signed = saliency.integrated_gradients(CUT, IMAGE, TARGET).sum(-1)
    evidence = jnp.maximum(signed, 0)
    np.testing.assert_allclose(found["integrated_gradients"], evidence / evidence.max((1, 2), keepdims=True), atol=1e-6)


def test_rise_explains_the_probability():
    def probability(outputs):
        return jax.nn.softmax(outputs)[jnp.arange(2), TARGET]

    raw = jax.jit(lambda cut: saliency.rise(cut, IMAGE, probability, key=jax.random.key(KEY)))(CUT)
    expected = saliency.normalise_minmax(raw)
    np.testing.assert_allclose(jax.jit(saliency.METHODS["rise"])(CUT, IMAGE, TARGET), expected, atol=1e-4)
