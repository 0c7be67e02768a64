"""What holds for every map: of random maps with equal values, NaN, huge and tiny numbers."""

import jax.numpy as jnp
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

from align_jax import explanations
from align_jax.explanations import in_steps, perturb

HEIGHT, WIDTH = 3, 4
PIXELS = HEIGHT * WIDTH
STEPS = in_steps(PIXELS)
WEIGHT = jnp.asarray(np.random.default_rng(0).permutation(PIXELS).reshape(HEIGHT, WIDTH), jnp.float32)

# Few values, so that pixels are often equal.
maps = arrays(np.float32, (HEIGHT, WIDTH), elements=st.sampled_from([-2.0, -1e-20, 0.0, 1e-20, 0.5, 0.75, 3.0, 1e20]))
# The same examples each time, and no database of them on the disk.
quick = settings(max_examples=25, deadline=None, derandomize=True, database=None)


def weighted_share(image):
    """p_0 is the weighted share of the image that is not removed."""
    share = jnp.einsum("hw,bhw->b", WEIGHT / WEIGHT.sum(), image[..., 0])
    return jnp.stack([share, 1 - share], axis=-1)


def curves_of(saliency):
    image = jnp.ones((len(saliency), HEIGHT, WIDTH, 1))
    return perturb(weighted_share, image, jnp.asarray(saliency), 0, fill="zero", remove=STEPS, keep=STEPS)


METRICS = {
    "comprehensiveness": lambda curves: explanations.comprehensiveness(curves, STEPS),
    "sufficiency": lambda curves: -explanations.sufficiency(curves, STEPS),
    "deletion_auc": lambda curves: -explanations.deletion_auc(curves, PIXELS),
    "insertion_auc": lambda curves: explanations.insertion_auc(curves, PIXELS),
}


@quick
@given(st.lists(maps, min_size=4, max_size=4))
def test_the_order_of_relevance_is_best_and_its_reverse_worst(some):
    """No map, however its values are tied, is better than the weights themselves, or worse than their negative."""
    curves = curves_of(np.stack([WEIGHT, -WEIGHT, *some]))
    for name, metric in METRICS.items():
        best, worst, *others = np.asarray(metric(curves))
        for s, value in zip(some, others, strict=True):
            if s.min() < s.max():
                assert worst - 1e-5 <= value <= best + 1e-5, name
            else:
                assert np.isnan(value), name


@quick
@given(maps)
def test_a_monotone_change_of_a_map_changes_nothing(saliency):
    levels, place = np.unique(saliency, return_inverse=True)
    rising = np.array([-3.0, -1.0, 0.0, 1e-6, 0.1, 2.0, 5.0, 1e6], np.float32)
    changed = rising[: len(levels)][place.reshape(saliency.shape)]
    before, after = curves_of(saliency[None]), curves_of(changed[None])
    np.testing.assert_array_equal(before.removed, after.removed)
    np.testing.assert_array_equal(before.kept, after.kept)
    mask = jnp.asarray(WEIGHT[None] > 5)
    for metric in (
        explanations.pointing_game,
        explanations.rank_accuracy,
        explanations.roc_auc,
        explanations.average_precision,
    ):
        np.testing.assert_allclose(
            metric(jnp.asarray(saliency[None]), mask), metric(jnp.asarray(changed[None]), mask), atol=1e-6
        )


@quick
@given(st.lists(maps, min_size=3, max_size=3), st.integers(0, 2))
def test_an_image_does_not_depend_on_its_batch(some, number):
    whole, alone = curves_of(np.stack(some)), curves_of(some[number][None])
    np.testing.assert_allclose(whole.removed[number], alone.removed[0], atol=1e-6)
    np.testing.assert_allclose(whole.kept[number], alone.kept[0], atol=1e-6)


@quick
@given(maps, st.integers(0, PIXELS - 1))
def test_one_nan_anywhere_takes_every_metric_away(saliency, place):
    saliency = saliency.copy()
    saliency.flat[place] = np.nan
    curves = curves_of(saliency[None])
    assert all(np.isnan(metric(curves)).all() for metric in METRICS.values())
    given_map, mask = jnp.asarray(saliency[None]), jnp.asarray(WEIGHT[None] > 5)
    for metric in (explanations.energy_inside, explanations.pointing_game, explanations.rank_accuracy):
        assert np.isnan(metric(given_map, mask)).all()
    for metric in (explanations.gini, explanations.entropy):
        assert np.isnan(metric(given_map)).all()


@pytest.mark.parametrize("metric", [explanations.gini, explanations.entropy])
@quick
@given(maps)
def test_complexity_lies_in_its_range(metric, saliency):
    value = float(metric(jnp.asarray(saliency[None]))[0])
    limit = {explanations.gini: 1 - 1 / PIXELS, explanations.entropy: np.log(PIXELS)}[metric]
    assert np.isnan(value) == (not saliency.any()) or abs(saliency).max() < 1e-19
    assert np.isnan(value) or -1e-5 <= value <= limit + 1e-5
