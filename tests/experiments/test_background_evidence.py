"""Where evidence lies and where it comes from, on networks for which both are known."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.networks import Classifier
from align_jax.states import ClassifierState
from experiments.background_evidence import Pairs, evidence

CELL, CELLS = 4, 4
LABEL = jnp.arange(8) % 2
STATE = ClassifierState(jnp.int32(0), {}, {}, (), {})


def pairs(covered):
    """A grey object on a background whose brightness is the label's, and on the other label's."""
    mask = jnp.zeros((8, CELL * CELLS, CELL * CELLS, 1)).at[:, :, : CELL * covered].set(1.0)
    background = jnp.where(LABEL == 1, 1.0, -1.0)[:, None, None, None]
    image, other = (jnp.broadcast_to(b + mask * (0.1 - b), (*mask.shape[:3], 3)) for b in (background, -background))
    return Pairs(image, other, mask, LABEL)


def network(sees_everything):
    """Class 1 is bright, class 0 is dark; a cell sees its own pixels, or the whole image."""

    def features(params, batch_stats, image, train, key):
        cells = image.reshape(len(image), CELLS, CELL, CELLS, CELL, 3).mean((2, 4))
        if sees_everything:
            cells = jnp.broadcast_to(cells.mean((1, 2), keepdims=True), cells.shape)
        return cells[..., :1], batch_stats

    def head(params, features):
        mean = features.mean((1, 2, 3))
        return jnp.stack([-mean, mean], axis=1)

    return Classifier(init=lambda key, image: ({}, {}), features=features, head=head)


@pytest.mark.parametrize("covered", [1, 3])
def test_cells_that_see_themselves_alone_show_nothing_of_the_background_over_the_object(covered):
    found = jax.jit(lambda batch: evidence(network(False), STATE, batch))(pairs(covered))
    # The object is equally bright for both classes: all evidence is beside it, and changes the prediction through the
    # cells there.
    np.testing.assert_allclose(found.inside, 0.0, atol=1e-6)
    assert float(found.outside) > 0.01
    assert (float(found.changed), float(found.changed_through_object)) == (1.0, 0.0)
    assert float(found.changed_through_background) == 1.0
    # Cells of brightness 1 become cells of -1, or the other way round.
    np.testing.assert_allclose(found.logit_change, 2 * (CELLS - covered) / CELLS, rtol=1e-5)


@pytest.mark.parametrize(("covered", "changed_through_object"), [(1, 0.0), (3, 1.0)])
def test_cells_that_see_everything_bring_the_background_with_the_object(covered, changed_through_object):
    """A quarter of the cells cannot outvote the others; three quarters can."""
    found = evidence(network(True), STATE, pairs(covered))
    np.testing.assert_allclose(found.inside, found.outside, rtol=1e-5)
    assert (float(found.changed), float(found.changed_through_object)) == (1.0, changed_through_object)
    assert float(found.changed_through_background) == 1.0 - changed_through_object


def test_evidence_that_is_spread_evenly_does_not_show_in_phi():
    """A background that adds to every cell changes the logit, but not the min-max normalised map."""

    def features(params, batch_stats, image, train, key):
        cells = image.reshape(len(image), CELLS, CELL, CELLS, CELL, 3).mean((2, 4))[..., :1]
        object_alone = jnp.abs(cells - 0.1) < 1e-3
        background = cells.min((1, 2), keepdims=True) + cells.max((1, 2), keepdims=True)
        return object_alone + 0.1 * background, batch_stats

    even = network(False)._replace(features=features)
    found = evidence(even, STATE, pairs(1))
    assert float(found.logit_change) > 0.1
    np.testing.assert_allclose(found.phi_change, 0.0, atol=1e-6)
