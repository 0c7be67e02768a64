import functools

import jax
import jax.numpy as jnp
import numpy as np
import pytest
from scipy.ndimage import gaussian_filter

from align_jax.explanations import faithfulness as f
from align_jax.fills import gaussian_blur

from .small_network import ERASER, IMAGE, MODEL, PREDICTED, probabilities

METRICS = {
    "comprehensiveness": f.comprehensiveness,
    "sufficiency": f.sufficiency,
    "insertion_auc": f.insertion_auc,
    "deletion_auc": f.deletion_auc,
}
every_metric = pytest.mark.parametrize("metric", METRICS.values(), ids=METRICS)
GRAD_CAM = jnp.asarray(ERASER["saliency/gradcam"], jnp.float32)

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
    score = jax.jit(functools.partial(f.faithfulness, probabilities, fill=fill, rounding=rounding))
    # If a bin's last pixel is (nearly) tied with the next, the choice depends on the sort: such images are left out.
    for name, at_least in (("gradcam", 3), ("ig_abs_sum", 6)):
        saliency = ERASER[f"saliency/{name}"]
        falling = -np.sort(-saliency.reshape(8, -1), axis=1)
        last = ERASER[f"k_{rounding}"] - 1
        clear = (falling[:, last] - falling[:, last + 1] > 5e-4 * falling[:, last]).all(axis=1)
        assert clear.sum() >= at_least
        both = score(IMAGE, jnp.asarray(saliency, jnp.float32), PREDICTED)
        reference = f"{name}/{ENTRIES[fill]}/{rounding}"
        np.testing.assert_allclose(
            both.comprehensiveness[clear], ERASER[f"{reference}/comp_pred_aopc"][clear], atol=2e-6
        )
        np.testing.assert_allclose(both.sufficiency[clear], ERASER[f"{reference}/suff_pred_aopc"][clear], atol=2e-6)


def test_comprehensiveness_and_sufficiency_of_a_known_network():
    both = f.faithfulness(weighted_share, ONES, jnp.asarray(ORDERS), FIRST)
    counts = (1, 2, 3, 6, 15)  # 1, 5, 10, 20 and 50 % of 30 pixels, rounded up
    top = np.array([np.mean([share_of_top(order, count) for count in counts]) for order in ORDERS])
    np.testing.assert_allclose(both.comprehensiveness, top, atol=1e-6)
    np.testing.assert_allclose(both.sufficiency, 1 - top, atol=1e-6)


@pytest.mark.parametrize("steps", [1, 7, 20, 50])  # 30 pixels: equal steps, unequal steps, steps without a pixel
def test_insertion_and_deletion_of_a_known_network(steps):
    counts = [i * 30 // steps for i in range(steps + 1)]
    top = np.array([[share_of_top(order, count) for order in ORDERS] for count in counts])
    area = sum((counts[i + 1] - counts[i]) / 30 * (top[i] + top[i + 1]) / 2 for i in range(steps))
    arguments = (weighted_share, ONES, jnp.asarray(ORDERS), FIRST)
    np.testing.assert_allclose(f.insertion_auc(*arguments, steps=steps, fill="mean"), area, atol=1e-6)
    np.testing.assert_allclose(f.deletion_auc(*arguments, steps=steps), 1 - area, atol=1e-6)


@pytest.mark.parametrize(
    ("metric", "sign"),
    [(f.comprehensiveness, 1), (f.sufficiency, -1), (f.insertion_auc, 1), (f.deletion_auc, -1)],
)
def test_the_order_of_relevance_is_best_and_its_reverse_worst(metric, sign):
    score = sign * np.asarray(metric(weighted_share, ONES, jnp.asarray(ORDERS), FIRST, fill="mean"))
    assert (score[0] > score[1:]).all()
    assert (score[1] < np.delete(score, 1)).all()


def test_ranks_are_unique_and_ties_go_by_pixel_order():
    share = jnp.array([1.0, 2.0, 4.0, 8.0]).reshape(2, 2) / 15  # every set of pixels has a sum of its own

    def which_pixels(image):
        return jnp.einsum("hw,bhw->b", share, image[..., 0])[:, None]

    tied = jnp.array([[[0.0, 0.0], [0.0, 0.0]], [[1.0, 0.0], [1.0, 0.0]], [[-1.0, 0.0], [-0.0, 2.0]]])
    removed = f.comprehensiveness(which_pixels, jnp.ones((3, 2, 2, 1)), tied, jnp.zeros(3, jnp.int32), percents=(50,))
    np.testing.assert_allclose(removed * 15, [1 + 2, 1 + 4, 8 + 2], rtol=1e-6)


def test_a_pixel_goes_with_all_its_channels():
    def channel_means(image):
        return image.mean(axis=(1, 2))

    images = jnp.ones((3, 4, 4, 3))
    target = jnp.arange(3)
    maps = jnp.broadcast_to(jnp.arange(16.0).reshape(4, 4), (3, 4, 4))
    np.testing.assert_allclose(f.comprehensiveness(channel_means, images, maps, target, percents=(25,)), 0.25)


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
    both = f.faithfulness(probabilities, IMAGE, GRAD_CAM, PREDICTED, fill=fill, percents=(100,))
    np.testing.assert_array_equal(both.sufficiency, 0)
    filled = {
        "mean": jnp.zeros_like(IMAGE),
        "image_mean": jnp.zeros_like(IMAGE) + IMAGE.mean(axis=(1, 2), keepdims=True),
        "blur": gaussian_blur(IMAGE),
    }[fill]
    every = np.arange(8)
    expected = (probabilities(IMAGE) - probabilities(filled))[every, PREDICTED]
    np.testing.assert_allclose(both.comprehensiveness, expected, atol=1e-6)


def test_both_at_once_equal_each_alone():
    both = f.faithfulness(probabilities, IMAGE, GRAD_CAM, PREDICTED)
    for name, value in both._asdict().items():
        alone = METRICS[name](probabilities, IMAGE, GRAD_CAM, PREDICTED)
        np.testing.assert_allclose(value, alone, atol=1e-6)


def test_insertion_starts_from_the_blurred_image_and_deletion_from_the_image():
    first, every = gaussian_blur(IMAGE), np.arange(8)
    ends = [probabilities(image)[every, PREDICTED] for image in (first, IMAGE, jnp.zeros_like(IMAGE))]
    insertion = f.insertion_auc(probabilities, IMAGE, GRAD_CAM, PREDICTED, steps=1)
    deletion = f.deletion_auc(probabilities, IMAGE, GRAD_CAM, PREDICTED, steps=1)
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


@pytest.mark.parametrize("metric", [*METRICS.values(), f.faithfulness])
def test_the_network_is_traced_once_and_sees_no_larger_batch(metric):
    shapes = []

    def watched(image):
        shapes.append(image.shape)
        return probabilities(image)

    metric(watched, IMAGE, GRAD_CAM, PREDICTED)
    assert shapes == [IMAGE.shape]


@every_metric
def test_degenerate_maps_and_low_precision_stay_finite(metric):
    maps = (jnp.zeros_like(GRAD_CAM), jnp.full_like(GRAD_CAM, 3.0), GRAD_CAM)
    saliency = jnp.concatenate([*maps, GRAD_CAM])
    image = jnp.concatenate([IMAGE, IMAGE, IMAGE, jnp.zeros_like(IMAGE)])
    for dtype in (jnp.float32, jnp.bfloat16):
        value = metric(
            lambda x: probabilities(x).astype(x.dtype),
            image.astype(dtype),
            saliency.astype(dtype),
            jnp.tile(PREDICTED, 4),
        )
        assert value.dtype == jnp.float32
        assert np.isfinite(value).all()


@pytest.mark.parametrize(("height", "width"), [(16, 16), (24, 40), (7, 5)])
def test_blur_is_a_gaussian_with_mirrored_border(height, width):
    image = np.random.default_rng(0).normal(size=(2, height, width, 3)).astype(np.float32)
    sigma = min(height, width) / 8
    expected = gaussian_filter(image.astype(np.float64), (0, sigma, sigma, 0), mode="reflect", truncate=4.0)
    np.testing.assert_allclose(gaussian_blur(jnp.asarray(image)), expected, atol=1e-5)


def test_blur_is_that_of_the_reference():
    np.testing.assert_allclose(gaussian_blur(IMAGE), np.moveaxis(ERASER["baseline_blur"], 1, -1), atol=1e-5)


def test_random_maps_are_uniform_and_follow_from_the_key():
    noise = f.random_map(jax.random.key(0), (4, 32, 32))
    np.testing.assert_array_equal(noise, f.random_map(jax.random.key(0), (4, 32, 32)))
    assert not np.array_equal(noise, f.random_map(jax.random.key(1), (4, 32, 32)))
    assert noise.shape == (4, 32, 32)
    np.testing.assert_allclose(np.quantile(noise, [0.1, 0.5, 0.9]), [0.1, 0.5, 0.9], atol=0.03)


@pytest.mark.parametrize("metric", [f.faithfulness, f.comprehensiveness, f.sufficiency])
@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"fill": "grey"}, "unknown fill 'grey': choose one of mean, image_mean, blur, black"),
        ({"rounding": "up"}, "unknown rounding 'up': choose one of ceil, floor"),
        ({"percents": (0, 50)}, r"percents \(0, 50\)"),
        ({"percents": (50, 101)}, r"percents \(50, 101\)"),
        ({"percents": ()}, "one or more numbers"),
    ],
)
def test_refused_options_name_the_valid_ones(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(probabilities, IMAGE, GRAD_CAM, PREDICTED, **options)


@pytest.mark.parametrize("metric", [f.insertion_auc, f.deletion_auc])
@pytest.mark.parametrize(("options", "message"), [({"fill": "grey"}, "unknown fill"), ({"steps": 0}, "at least 1")])
def test_refused_areas(metric, options, message):
    with pytest.raises(ValueError, match=message):
        metric(probabilities, IMAGE, GRAD_CAM, PREDICTED, **options)


@pytest.mark.parametrize("percent", [7, 29])  # 0.07 * 100 is 7.000000000000001, 0.29 * 100 is 28.999999999999996
def test_whole_counts_of_pixels_are_not_rounded(percent):
    # A network that counts the pixels that are left of 100.
    def share_left(image):
        return image[..., 0].mean(axis=(1, 2))[:, None]

    for rounding in ("ceil", "floor"):
        removed = f.comprehensiveness(
            share_left,
            jnp.ones((1, 10, 10, 1)),
            jnp.zeros((1, 10, 10)),
            jnp.zeros(1, jnp.int32),
            percents=(percent,),
            rounding=rounding,
        )
        np.testing.assert_allclose(removed * 100, percent, atol=1e-4)
