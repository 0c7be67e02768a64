import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax.explanations.localisation import (
    average_precision,
    energy_inside,
    mask_iou,
    pointing_game,
    rank_accuracy,
    roc_auc,
    top_k_inside,
)

from .small_network import ERASER, MODEL


def top_10(saliency, true_mask):
    return top_k_inside(saliency, true_mask, 10)


ORDERED = (pointing_game, rank_accuracy, top_10, roc_auc, average_precision)
METRICS = (mask_iou, energy_inside, *ORDERED)
GRAD_CAM = jnp.asarray(ERASER["saliency/gradcam"], jnp.float32)
TRUE_MASK = jnp.asarray(MODEL["mask"], jnp.float32)
NOTHING, EVERYTHING = jnp.zeros_like(TRUE_MASK), jnp.ones_like(TRUE_MASK)


def rows(*values):
    """One image of two rows and columns."""
    return jnp.array([values])


def test_iou_counts_pixels():
    mask = rows([0.9, 0.6], [0.2, 0.5])  # 0.5 is not above the threshold
    np.testing.assert_allclose(mask_iou(mask, rows([1.0, 0.0], [1.0, 0.0])), 1 / 3)
    np.testing.assert_allclose(mask_iou(mask, rows([1.0, 0.0], [1.0, 0.0]), threshold=0.1), 2 / 4)
    np.testing.assert_allclose(mask_iou(mask, rows([0.3, 0.3], [0.3, 0.0]), threshold=0.1), 3 / 4)
    np.testing.assert_allclose(mask_iou(mask, rows([1.0, 1.0], [0.0, 0.0])), 1)
    np.testing.assert_allclose(mask_iou(mask, rows([0.0, 0.0], [1.0, 1.0])), 0)
    np.testing.assert_allclose(mask_iou(rows([1.0, 1.0], [0.0, 0.0]), rows([0.6, 0.7], [0.4, 0.5])), 1)


def test_iou_properties_on_many_masks():
    masks = jax.random.uniform(jax.random.key(0), (2, 20, 6, 7))
    np.testing.assert_array_equal(mask_iou(masks[0], masks[1]), mask_iou(masks[1], masks[0]))
    np.testing.assert_array_equal(mask_iou(masks[0], masks[0]), 1)
    for a, b, value in zip(*(np.asarray(masks) > 0.5), np.asarray(mask_iou(*masks)), strict=True):
        found, true = set(zip(*np.nonzero(a), strict=True)), set(zip(*np.nonzero(b), strict=True))
        np.testing.assert_allclose(value, len(found & true) / len(found | true), rtol=1e-6)


def test_iou_where_a_mask_is_empty():
    assert np.isnan(mask_iou(NOTHING, NOTHING)).all()
    np.testing.assert_array_equal(mask_iou(TRUE_MASK, NOTHING), 0)
    np.testing.assert_array_equal(mask_iou(NOTHING, TRUE_MASK), 0)


def test_energy_is_the_positive_mass_inside():
    saliency = rows([3.0, 1.0], [-5.0, 0.0])
    np.testing.assert_allclose(energy_inside(saliency, rows([1.0, 0.0], [1.0, 0.0])), 3 / 4)
    np.testing.assert_allclose(energy_inside(saliency, rows([0.5, 0.0], [0.0, 0.0])), 1.5 / 4)
    np.testing.assert_array_equal(energy_inside(saliency, rows([0.0, 0.0], [1.0, 1.0])), 0)
    s, m = ERASER["saliency/gradcam"], MODEL["mask"]
    np.testing.assert_allclose(
        energy_inside(GRAD_CAM, TRUE_MASK), (s * m).sum(axis=(1, 2)) / s.sum(axis=(1, 2)), rtol=1e-5
    )


def test_energy_of_uniform_maps_is_the_share_of_the_object():
    share = TRUE_MASK.mean(axis=(1, 2))
    for level in (1e-20, 1.0, 1e20):
        np.testing.assert_allclose(energy_inside(level * EVERYTHING, TRUE_MASK), share, rtol=1e-5)
    np.testing.assert_allclose(energy_inside(GRAD_CAM, EVERYTHING), 1, rtol=1e-6)


def test_energy_does_not_apply_to_zero_maps_and_missing_objects():
    assert np.isnan(energy_inside(NOTHING, TRUE_MASK)).all()
    assert np.isnan(energy_inside(-EVERYTHING, TRUE_MASK)).all()
    assert np.isnan(energy_inside(GRAD_CAM, NOTHING)).all()


def test_the_maximum_points():
    saliency = rows([1.0, 4.0], [4.0, -9.0])
    np.testing.assert_array_equal(pointing_game(rows([1.0, 4.0], [3.0, -9.0]), rows([0.0, 1.0], [0.0, 0.0])), 1)
    np.testing.assert_array_equal(pointing_game(rows([1.0, 4.0], [3.0, -9.0]), rows([1.0, 0.5], [1.0, 1.0])), 0)
    np.testing.assert_array_equal(pointing_game(saliency, rows([1.0, 1.0], [0.0, 0.0])), 0.5)
    assert np.isnan(pointing_game(GRAD_CAM, NOTHING)).all()
    highest = ERASER["saliency/gradcam"].reshape(8, -1).argmax(axis=1)
    inside = MODEL["mask"].reshape(8, -1)[np.arange(8), highest]
    np.testing.assert_array_equal(pointing_game(GRAD_CAM, TRUE_MASK), inside)


@pytest.mark.parametrize("metric", METRICS)
def test_true_masks_are_boolean_or_floating_point(metric):
    expected = metric(GRAD_CAM, TRUE_MASK)
    for dtype in (bool, jnp.bfloat16):
        np.testing.assert_array_equal(metric(GRAD_CAM, TRUE_MASK.astype(dtype)), expected)
    for dtype in (jnp.uint8, jnp.int32):
        with pytest.raises(TypeError, match=r"could be 0/1 or 0/255: give mask.astype\(bool\), or mask / 255"):
            metric(GRAD_CAM, TRUE_MASK.astype(dtype))


@pytest.mark.parametrize("metric", METRICS)
def test_a_nan_in_the_map_or_the_mask_has_no_score(metric):
    nan = GRAD_CAM.at[2, 3, 4].set(jnp.nan)
    for given in ((nan, TRUE_MASK), (GRAD_CAM, TRUE_MASK.at[2, 3, 4].set(jnp.nan))):
        found = np.asarray(metric(*given))
        assert np.isnan(found[2])
        np.testing.assert_array_equal(np.delete(found, 2), np.delete(metric(GRAD_CAM, TRUE_MASK), 2))


@pytest.mark.parametrize("metric", ORDERED)
def test_a_map_that_orders_no_pixels_has_no_score(metric):
    for level in (0.0, 3.0):
        assert np.isnan(metric(jnp.full_like(GRAD_CAM, level), TRUE_MASK)).all()
    assert np.isnan(metric(GRAD_CAM, NOTHING)).all()


@pytest.mark.parametrize("metric", ORDERED)
def test_maps_of_whole_numbers_have_their_order(metric):
    whole = jnp.round(200 * GRAD_CAM)
    np.testing.assert_array_equal(metric(whole.astype(jnp.uint8), TRUE_MASK), metric(whole, TRUE_MASK))


@pytest.mark.parametrize("metric", ORDERED)
def test_a_perfect_order_is_best_and_only_the_order_counts(metric):
    np.testing.assert_allclose(metric(TRUE_MASK + GRAD_CAM / 2, TRUE_MASK), 1, rtol=1e-6)
    assert (np.asarray(metric(-TRUE_MASK + GRAD_CAM / 2, TRUE_MASK)) < 0.3).all()
    np.testing.assert_allclose(metric(jnp.exp(3 * GRAD_CAM), TRUE_MASK), metric(GRAD_CAM, TRUE_MASK), rtol=1e-5)


# A few values only, so that many pixels are equal.
TIED = jnp.floor(GRAD_CAM * 6)


@pytest.mark.parametrize("maps", [GRAD_CAM, TIED])
def test_the_metrics_of_a_detector_are_those_of_scikit_learns_definitions(maps):
    """Counted pair by pair, and threshold by threshold, in float64."""
    for s, m, area, precision in zip(
        np.asarray(maps, np.float64),
        MODEL["mask"] > 0,
        roc_auc(maps, TRUE_MASK),
        average_precision(maps, TRUE_MASK),
        strict=True,
    ):
        inside, outside = s[m][:, None], s[~m][None]
        np.testing.assert_allclose(area, (inside > outside).mean() + (inside == outside).mean() / 2, atol=1e-6)
        recall, expected = 0.0, 0.0
        for threshold in np.unique(s)[::-1]:
            found = s >= threshold
            expected += (m[found].sum() / m.sum() - recall) * m[found].mean()
            recall = m[found].sum() / m.sum()
        np.testing.assert_allclose(precision, expected, atol=1e-6)


def test_the_top_of_the_map_is_counted_inside():
    for s, m, accuracy, top in zip(
        np.asarray(GRAD_CAM),
        MODEL["mask"] > 0,
        rank_accuracy(GRAD_CAM, TRUE_MASK),
        top_10(GRAD_CAM, TRUE_MASK),
        strict=True,
    ):
        falling = np.argsort(-s.ravel(), kind="stable")
        np.testing.assert_allclose(accuracy, m.ravel()[falling[: m.sum()]].mean(), atol=1e-6)
        np.testing.assert_allclose(top, m.ravel()[falling[:10]].mean(), atol=1e-6)
    with pytest.raises(ValueError, match="k 0 must lie in 1 to 256"):
        top_k_inside(GRAD_CAM, TRUE_MASK, 0)


@pytest.mark.parametrize("metric", METRICS)
def test_jit_is_eager_and_an_image_does_not_depend_on_its_batch(metric):
    whole = metric(GRAD_CAM, TRUE_MASK)
    assert whole.dtype == jnp.float32
    np.testing.assert_allclose(jax.jit(metric)(GRAD_CAM, TRUE_MASK), whole, rtol=1e-6)
    padded = [jnp.concatenate([x[2:5], jnp.zeros_like(x)]) for x in (GRAD_CAM, TRUE_MASK)]
    np.testing.assert_allclose(metric(*padded)[:3], whole[2:5], rtol=1e-6)


def test_energy_is_summed_in_float32():
    # 67 * 67 is more than the eight bits of bfloat16 hold.
    saliency = jnp.ones((1, 67, 67), jnp.bfloat16)
    mask = jnp.zeros(saliency.shape).at[:, :43].set(1)
    np.testing.assert_allclose(energy_inside(saliency, mask.astype(jnp.bfloat16)), 43 / 67, rtol=1e-6)
