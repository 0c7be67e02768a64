"""Where evidence lies and where it comes from, on networks of which both are known."""

from types import SimpleNamespace

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.networks import Classifier
from benchmarks.background_evidence import evidence

CELL, CELLS = 4, 4
LABEL = jnp.arange(8) % 2


def scenes():
    """A grey square of two by two cells, on a background whose brightness tells the label; the next one's is darker."""
    mask = jnp.zeros((8, CELL * CELLS, CELL * CELLS, 1)).at[:, 4:12, 4:12].set(1.0)
    background = jnp.where(LABEL == 1, 1.0, -1.0)[:, None, None, None]
    return jnp.broadcast_to(background + mask * (0.1 - background), (*mask.shape[:3], 3)), mask


def trained_run(sees_everything):
    """Class 1 is bright, class 0 is dark; a cell sees its own pixels, or the whole image."""

    def features(params, batch_stats, image, train, key):
        cells = image.reshape(len(image), CELLS, CELL, CELLS, CELL, 3).mean((2, 4))
        if sees_everything:
            cells = jnp.broadcast_to(cells.mean((1, 2), keepdims=True), cells.shape)
        return cells[..., :1], batch_stats

    def head(params, features):
        mean = features.mean((1, 2, 3))
        return jnp.stack([-mean, mean], axis=1)

    network = Classifier(init=lambda key, image: ({}, {}), features=features, head=head)
    return SimpleNamespace(networks=(network, None), states=(SimpleNamespace(params={}, batch_stats={}), None))


@pytest.mark.parametrize("sees_everything", [False, True])
def test_evidence_is_found_where_it_lies_and_where_it_comes_from(sees_everything):
    image, mask = scenes()
    found = jax.jit(lambda *batch: evidence(trained_run(sees_everything), *batch))(image, mask, LABEL)
    # All that tells the classes apart is the background, and every exchange brings the other class's.
    assert float(found.changed) == 1
    if sees_everything:
        np.testing.assert_allclose(found.inside, found.outside, rtol=1e-5)
        # A quarter of the cells is too few to change the mean's sign ...
        assert float(found.changed_through_object) == 0
        # ... unless the object covers most of the image.
        large = jnp.ones_like(mask).at[:, :, :CELL].set(0.0)
        wide = evidence(trained_run(True), large * 0.1 + (1 - large) * image[:, :1, :1], large, LABEL)
        assert float(wide.changed_through_object) == 1
    else:
        np.testing.assert_allclose(
            found.inside, 0.0, atol=1e-6
        )  # the object is as bright for one class as for the other
        assert float(found.outside) > 0.01
        assert float(found.changed_through_object) == 0
