import functools
import logging

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from align_jax import explanations
from align_jax.explanations import ERASER, in_steps, perturb
from align_jax.fills import gaussian_blur
from align_jax.preprocessing import IMAGENET

from .small_network import ERASER as ERASER_VALUES
from .small_network import IMAGE, MODEL, PREDICTED, probabilities


def comprehensiveness(*arguments, fill="mean", fractions=ERASER, **options):
    curves = perturb(*arguments, fill=fill, remove=fractions, preprocessing=IMAGENET, **options)
    return explanations.comprehensiveness(curves, fractions)


def sufficiency(*arguments, fill="mean", fractions=ERASER, **options):
    curves = perturb(*arguments, fill=fill, keep=fractions, preprocessing=IMAGENET, **options)
    return explanations.sufficiency(curves, fractions)


def deletion_auc(*arguments, fill="mean", steps=20, **options):
    curves = perturb(*arguments, fill=fill, remove=in_steps(steps), preprocessing=IMAGENET, **options)
    return explanations.deletion_auc(curves, steps)


def insertion_auc(*arguments, fill="blur", steps=20, **options):
    curves = perturb(*arguments, fill=fill, keep=in_steps(steps), preprocessing=IMAGENET, **options)
    return explanations.insertion_auc(curves, steps)


METRICS = {
    "comprehensiveness": comprehensiveness,
    "sufficiency": sufficiency,
    "insertion_auc": insertion_auc,
    "deletion_auc": deletion_auc,
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
GRAD_CAM = jnp.asarray(ERASER_VALUES["saliency/gradcam"], jnp.float32)


# A network with known answers: p_0 is the weighted share of an image of ones that is not removed.
HEIGHT, WIDTH = 5, 6
WEIGHT = np.random.default_rng(0).permutation(HEIGHT * WIDTH).reshape(HEIGHT, WIDTH).astype(np.float32)


def weighted_share(image):
    share = jnp.einsum("hw,bhw->b", WEIGHT / WEIGHT.sum(), image[..., 1])
    return jnp.stack([share, 1 - share], axis=-1)


def share_of_top(order, count):
    return WEIGHT.ravel()[np.argsort(-np.asarray(order).ravel(), kind="stable")[:count]].sum() / WEIGHT.sum()


ORDERS = np.stack(
    [
        WEIGHT,
        -WEIGHT,
        np.zeros((HEIGHT, WIDTH), np.float32),  # all equal
        np.floor(WEIGHT / 7),  # many equal
        *np.random.default_rng(1).random((50, HEIGHT, WIDTH), np.float32),
    ]
)
ONES = jnp.ones((len(ORDERS), HEIGHT, WIDTH, 3))
FIRST = jnp.zeros(len(ORDERS), jnp.int32)


def test_the_network_is_the_one_that_made_the_reference():
    np.testing.assert_allclose(probabilities(IMAGE), MODEL["prob"], atol=1e-6)


# our fills, and their names in the reference
ENTRIES = {"mean": "zero", "image_mean": "mean", "blur": "blur"}


@pytest.mark.parametrize("fill", ENTRIES)
@pytest.mark.parametrize("rounding", ["ceil", "floor"])
def test_reference_values(fill, rounding):
    """Every point of both metrics, of all images, for the predicted class and for the label."""
    options = {"fill": fill, "rounding": rounding, "preprocessing": IMAGENET}
    score = jax.jit(functools.partial(perturb, probabilities, remove=ERASER, keep=ERASER, **options))
    for name in ("gradcam", "ig_abs_sum", "random"):
        saliency = jnp.asarray(ERASER_VALUES[f"saliency/{name}"], jnp.float32)
        # The network is right about every image, so that the label is the predicted class.
        for curves in (score(IMAGE, saliency), score(IMAGE, saliency, jnp.asarray(MODEL["y"], jnp.int32))):
            reference = f"{name}/{ENTRIES[fill]}/{rounding}"
            for metric, points, mean in (
                ("comp", explanations.comprehensiveness_points, explanations.comprehensiveness),
                ("suff", explanations.sufficiency_points, explanations.sufficiency),
            ):
                expected = ERASER_VALUES[f"{reference}/{metric}_pred_points"]
                np.testing.assert_allclose(points(curves), expected, atol=1e-6)
                np.testing.assert_allclose(mean(curves), expected.mean(axis=1), atol=1e-6)


def test_comprehensiveness_and_sufficiency_of_a_known_network():
    arguments = (weighted_share, ONES, jnp.asarray(ORDERS), FIRST)
    counts = (1, 2, 3, 6, 15)  # 1, 5, 10, 20 and 50 % of 30 pixels, rounded up
    top = np.array([np.mean([share_of_top(order, count) for count in counts]) for order in ORDERS])
    top[2] = np.nan  # its map is constant
    np.testing.assert_allclose(comprehensiveness(*arguments), top, atol=1e-6)
    np.testing.assert_allclose(sufficiency(*arguments), 1 - top, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 7, 20, 50])  # 30 pixels: equal steps, unequal steps, steps without a pixel
def test_insertion_and_deletion_of_a_known_network(steps):
    counts = [-(-i * 30 // steps) for i in range(steps + 1)]
    top = np.array([[share_of_top(order, count) for order in ORDERS] for count in counts])
    area = sum((counts[i + 1] - counts[i]) / 30 * (top[i] + top[i + 1]) / 2 for i in range(steps))
    area[2] = np.nan  # its map is constant
    arguments = (weighted_share, ONES, jnp.asarray(ORDERS), FIRST)
    np.testing.assert_allclose(insertion_auc(*arguments, steps=steps, fill="mean"), area, atol=1e-6)
    np.testing.assert_allclose(deletion_auc(*arguments, steps=steps), 1 - area, atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "sign"),
    [(comprehensiveness, 1), (sufficiency, -1), (insertion_auc, 1), (deletion_auc, -1)],
)
def test_the_order_of_relevance_is_best_and_its_reverse_worst(metric, sign):
    score = sign * np.asarray(metric(weighted_share, ONES, jnp.asarray(ORDERS), FIRST, fill="mean"))
    others = np.delete(score, [0, 1, 2])  # the third map is constant
    assert (score[0] > others).all()
    assert (score[1] < others).all()


def test_ranks_are_unique_and_ties_go_by_pixel_order():
    share = jnp.array([1.0, 2.0, 4.0, 8.0]).reshape(2, 2) / 15  # every set of pixels has a sum of its own

    def which_pixels(image):
        return jnp.einsum("hw,bhw->b", share, image[..., 0])[:, None]

    tied = jnp.array([[[1.0, 1.0], [1.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0], [-0.0, 2.0]]])
    removed = comprehensiveness(
        which_pixels, jnp.ones((3, 2, 2, 1)), tied, jnp.zeros(3, jnp.int32), fill=jnp.zeros(1), fractions=(0.5,)
    )
    np.testing.assert_allclose(removed * 15, [1 + 2, 1 + 4, 8 + 2], rtol=1e-6)


def test_a_pixel_goes_with_all_its_channels():
    def channel_means(image):
        return image.mean(axis=(1, 2))

    images = jnp.ones((3, 4, 4, 3))
    target = jnp.arange(3)
    maps = jnp.broadcast_to(jnp.arange(16.0).reshape(4, 4), (3, 4, 4))
    np.testing.assert_allclose(comprehensiveness(channel_means, images, maps, target, fractions=(0.25,)), 0.25)


@every_metric
def test_only_the_order_of_the_map_counts_and_only_the_target_class(metric):
    def swapped(image):
        return probabilities(image)[:, ::-1]

    def batch(*maps_and_targets):
        maps, targets = zip(*maps_and_targets, strict=True)
        return jnp.tile(IMAGE, (len(maps), 1, 1, 1)), jnp.concatenate(maps), jnp.concatenate(targets)

    arguments = batch((GRAD_CAM, PREDICTED), (64 * GRAD_CAM, PREDICTED), (GRAD_CAM, (PREDICTED + 1) % 5))
    value, scaled, other = np.split(np.asarray(metric(probabilities, *arguments)), 3)
    np.testing.assert_allclose(scaled, value, atol=1e-6)
    assert np.abs(other - value).max() > 0.05
    np.testing.assert_allclose(metric(swapped, IMAGE, GRAD_CAM, 4 - PREDICTED), value, atol=1e-6)


@pytest.mark.parametrize("fill", ["mean", "image_mean", "blur"])
def test_everything_kept_is_sufficient_and_everything_removed_leaves_the_fill(fill):
    np.testing.assert_array_equal(sufficiency(probabilities, IMAGE, GRAD_CAM, fill=fill, fractions=(1.0,)), 0)
    filled = {
        "mean": jnp.zeros_like(IMAGE),
        "image_mean": jnp.zeros_like(IMAGE) + IMAGE.mean(axis=(1, 2), keepdims=True),
        "blur": gaussian_blur(IMAGE),
    }[fill]
    expected = (probabilities(IMAGE) - probabilities(filled))[np.arange(8), PREDICTED]
    removed = comprehensiveness(probabilities, IMAGE, GRAD_CAM, fill=fill, fractions=(1.0,))
    np.testing.assert_allclose(removed, expected, atol=1e-6)


def test_insertion_starts_from_the_blurred_image_and_deletion_from_the_image():
    first, every = gaussian_blur(IMAGE), np.arange(8)
    ends = [probabilities(image)[every, PREDICTED] for image in (first, IMAGE, jnp.zeros_like(IMAGE))]
    insertion = insertion_auc(probabilities, IMAGE, GRAD_CAM, PREDICTED, steps=1)
    deletion = deletion_auc(probabilities, IMAGE, GRAD_CAM, PREDICTED, steps=1)
    np.testing.assert_allclose(insertion, (ends[0] + ends[1]) / 2, atol=1e-6)
    np.testing.assert_allclose(deletion, (ends[1] + ends[2]) / 2, atol=1e-6)


@every_metric
def test_jit_is_eager_and_an_image_does_not_depend_on_its_batch(metric):
    jitted = jax.jit(functools.partial(metric, probabilities))
    whole = metric(probabilities, IMAGE, GRAD_CAM, PREDICTED)
    np.testing.assert_allclose(jitted(IMAGE, GRAD_CAM, PREDICTED), whole, atol=1e-6)
    three = slice(2, 5)
    np.testing.assert_allclose(jitted(IMAGE[three], GRAD_CAM[three], PREDICTED[three]), whole[three], atol=1e-6)
    padded = [jnp.concatenate([x[three], jnp.zeros_like(x)]) for x in (IMAGE, GRAD_CAM, PREDICTED)]
    np.testing.assert_allclose(jitted(*padded)[:3], whole[three], atol=1e-6)


def test_all_metrics_come_from_one_set_of_passes_and_the_network_is_traced_once():
    shapes = []

    def watched(image):
        shapes.append(image.shape)
        return probabilities(image)

    wanted = (
        explanations.Alterations("image_mean", ERASER + in_steps(20), ERASER),
        explanations.Alterations("blur", (), in_steps(20)),
    )
    options = {"maps": {"": GRAD_CAM}, "target": PREDICTED, "alterations": wanted}
    run = functools.partial(explanations.perturb_all, watched, **options)
    eager = run(IMAGE)[""]
    # 53 apart: 1 + 5 + 5 + 21 + 21. The clean image is shared three times, and so are four fractions.
    assert shapes == [IMAGE.shape] * 47 == [IMAGE.shape] * (53 - 2 - 4)
    shapes.clear()
    jitted = jax.jit(run)(IMAGE)[""]
    assert shapes == [IMAGE.shape]
    for found, expected in zip(jax.tree.leaves(jitted), jax.tree.leaves(eager), strict=True):
        np.testing.assert_allclose(found, expected, atol=1e-6)


def test_eager_calls_compile_nothing_anew(caplog):
    traces = []

    @jax.jit
    def watched(image):
        traces.append(image.shape)
        return probabilities(image)

    for _ in range(3):
        comprehensiveness(watched, IMAGE, GRAD_CAM)
    assert len(traces) == 1
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        comprehensiveness(watched, IMAGE, GRAD_CAM)
    assert not [record for record in caplog.records if "Compiling" in record.getMessage()]
    with jax.log_compiles(), caplog.at_level(logging.DEBUG):
        comprehensiveness(watched, IMAGE[:3], GRAD_CAM[:3])
    assert [record for record in caplog.records if "Compiling" in record.getMessage()]


@every_metric
def test_maps_that_order_no_pixels_have_no_score(metric):
    nan = GRAD_CAM.at[:, 3, 4].set(jnp.nan)
    for maps in (jnp.full_like(GRAD_CAM, jnp.nan), jnp.zeros_like(GRAD_CAM), jnp.full_like(GRAD_CAM, 3.0), nan):
        assert np.isnan(metric(probabilities, IMAGE, maps)).all()
    one = jnp.where(jnp.arange(8)[:, None, None] == 2, nan, GRAD_CAM)
    assert np.isnan(metric(probabilities, IMAGE, one)).tolist() == [number == 2 for number in range(8)]


@every_metric
def test_low_precision_stays_near(metric):
    value = metric(probabilities, IMAGE, GRAD_CAM)
    low = metric(lambda x: probabilities(x).astype(x.dtype), IMAGE.astype(jnp.bfloat16), GRAD_CAM.astype(jnp.bfloat16))
    assert low.dtype == jnp.float32
    np.testing.assert_allclose(low, value, atol=5e-3)


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (7, 5)])
def test_blur_is_a_gaussian_with_mirrored_border(height, width):
    image = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    sigma = min(height, width) / 8
    expected = gaussian_filter(image.astype(np.float64), (0, sigma, sigma, 0), mode="reflect", truncate=4.0)
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(image)), expected, atol=1e-5)


def test_blur_is_that_of_the_reference():
    np.testing.assert_allclose(gaussian_blur(IMAGE), np.moveaxis(ERASER_VALUES["baseline_blur"], 1, -1), atol=1e-5)


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": "grey"}, "unknown fill 'grey': choose one of zero, mean, image_mean, blur, black, a"),
        ({"rounding": "up"}, "unknown rounding 'up': choose one of ceil, floor"),
        ({"fractions": (0.5, 1.1)}, r"fractions \(0.5, 1.1\) must be numbers in \[0, 1\]"),
        ({"fractions": ()}, "no fractions of the pixels were given"),
    ],
)
@pytest.mark.parametrize("metric", [comprehensiveness, sufficiency])
def test_refused_options_name_the_valid_ones(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(probabilities, IMAGE, GRAD_CAM, PREDICTED, **options)


def test_a_metric_asks_for_the_points_that_it_needs():
    curves = perturb(probabilities, IMAGE, GRAD_CAM, fill="blur", remove=in_steps(10))
    with pytest.raises(ValueError, match=r"no point at the fraction 0.05, only at 0, 0.1, .*perturb\(remove=...\)"):
        explanations.deletion_auc(curves)
    with pytest.raises(ValueError, match="at least 1"):
        explanations.deletion_auc(curves, steps=0)
    assert np.isfinite(explanations.deletion_auc(curves, steps=10)).all()
    assert np.isfinite(explanations.deletion_auc(curves, steps=5)).all()


@pytest.mark.parametrize("percent", [7, 29])  # 0.07 * 100 is 7.000000000000001, 0.29 * 100 is 28.999999999999996
def test_whole_counts_of_pixels_are_not_rounded(percent):
    # A network that counts the pixels that are left of 100.
    def share_left(image):
        return image[..., 0].mean(axis=(1, 2))[:, None]

    image, maps = jnp.ones((1, 10, 10, 1)), jnp.arange(100.0).reshape(1, 10, 10)
    options = {"fill": jnp.zeros(1), "fractions": (percent / 100,)}
    for rounding in ("ceil", "floor"):
        removed = comprehensiveness(share_left, image, maps, 0, rounding=rounding, **options)
        np.testing.assert_allclose(removed * 100, percent, atol=1e-4)
