"""The ResNets against torchvision's, by way of a PyTorch float64 program (tests/oracle/torchvision_weights.py)."""

import functools
import pathlib

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest

from align_jax import saliency
from align_jax.models.resnet import RESNETS, BottleneckBlock, ResNet, resnet
from tests.oracle.torchvision_weights import linen_variables, shapes, state_dict

ORACLE = dict(np.load(pathlib.Path(__file__).parents[1] / "oracle" / "align_round.npz"))
CLASSES = 5


@functools.cache
def outputs(depth):
    """The oracle's quantities at one depth, with stored and with batch statistics, in one program."""
    model = resnet(f"resnet{depth}", CLASSES)

    @jax.jit
    def run(variables, image, label):
        features = model.apply(variables, image, train=False, method="features")

        def label_logits(features):
            logits = model.apply(variables, features, method="head")
            return jnp.take_along_axis(logits, label[:, None], axis=1).sum(), logits

        alpha, logits = jax.grad(label_logits, has_aux=True)(features)
        cam = jax.nn.relu((alpha.mean((1, 2), keepdims=True) * features).sum(-1))
        cam = cam / (cam.max((1, 2), keepdims=True) + 1e-8)
        train_logits, update = model.apply(variables, image, train=True, mutable=["batch_stats"])
        return {
            "features": features,
            "logits": logits,
            "gradcam": cam,
            "train_mode/logits": train_logits,
            "batch_stats": update["batch_stats"],
        }

    variables = linen_variables(state_dict(depth, CLASSES, seed=0))
    return jax.device_get(run(variables, ORACLE["image"], ORACLE["label"]))


def assert_close(actual, expected, tolerance=1e-4):
    """Everywhere equal up to `tolerance` times the largest expected magnitude."""
    assert actual.shape == expected.shape
    np.testing.assert_allclose(actual, expected, rtol=0, atol=tolerance * np.abs(expected).max())


@pytest.mark.parametrize("depth", [18, 34, 50])
class TestTorchvision:
    def test_pooled_features(self, depth):
        assert_close(outputs(depth)["features"].mean((1, 2)), ORACLE[f"resnet{depth}/features_pooled"])

    def test_logits(self, depth):
        assert_close(outputs(depth)["logits"], ORACLE[f"resnet{depth}/logits"])

    def test_gradcam(self, depth):
        assert_close(outputs(depth)["gradcam"], ORACLE[f"resnet{depth}/gradcam"])

    def test_logits_with_batch_statistics(self, depth):
        assert_close(outputs(depth)["train_mode/logits"], ORACLE[f"resnet{depth}/train_mode/logits"])

    def test_running_mean(self, depth):
        stats = outputs(depth)["batch_stats"]
        assert_close(stats["bn1"]["mean"], ORACLE[f"resnet{depth}/train_mode/bn1.running_mean"])

    def test_parameters_by_name_and_shape(self, depth):
        model = resnet(f"resnet{depth}", 1000)
        ours = jax.eval_shape(lambda: model.init(jax.random.key(0), jnp.zeros((1, 224, 224, 3)), train=False))
        theirs = linen_variables({name: np.zeros(shape) for name, shape in shapes(depth, 1000).items()})
        assert jax.tree.map(lambda leaf: leaf.shape, ours) == jax.tree.map(lambda leaf: leaf.shape, theirs)
        # torchvision's own documentation of its weights
        published = {18: 11_689_512, 34: 21_797_672, 50: 25_557_032}
        assert sum(leaf.size for leaf in jax.tree.leaves(ours["params"])) == published[depth]


def test_running_variance_is_torchvisions_but_for_the_unbiased_factor():
    """Flax stores the batch's variance, PyTorch n / (n - 1) times that, n the batch's number of pixels."""
    pixels = {"bn1": 12 * 48 * 48, "layer4.1.bn2": 12 * 3 * 3}
    stats = outputs(18)["batch_stats"]
    before = linen_variables(state_dict(18, CLASSES, seed=0))["batch_stats"]
    for name, new, old in (
        ("bn1", stats["bn1"], before["bn1"]),
        ("layer4.1.bn2", stats["layer4_1"]["bn2"], before["layer4_1"]["bn2"]),
    ):
        assert_close(new["mean"], ORACLE[f"train_mode/{name}.running_mean"])
        batch_variance = (new["var"] - 0.9 * old["var"]) / 0.1
        unbiased = 0.9 * old["var"] + 0.1 * batch_variance * pixels[name] / (pixels[name] - 1)
        assert_close(unbiased, ORACLE[f"train_mode/{name}.running_var"])


@pytest.mark.parametrize("form", ["native", "of the rule"])
def test_gradients_through_batch_statistics(monkeypatch, form):
    if form == "native":
        monkeypatch.setattr("align_jax.models.convolution.form_of", lambda *_: "native")
    model, image = resnet("resnet18", CLASSES), jnp.asarray(ORACLE["image"])
    variables = linen_variables(state_dict(18, CLASSES, seed=0))

    @jax.jit
    @jax.value_and_grad
    def cross_entropy(params):
        logits, _ = model.apply({**variables, "params": params}, image, train=True, mutable=["batch_stats"])
        return optax.softmax_cross_entropy_with_integer_labels(logits, ORACLE["label"]).mean()

    loss, gradient = cross_entropy(variables["params"])
    np.testing.assert_allclose(loss, ORACLE["train_mode/cross_entropy"], rtol=1e-4)
    for name, leaf in {
        "conv1.weight": gradient["conv1"]["kernel"],
        "layer2.0.downsample.0.weight": gradient["layer2_0"]["downsample_conv"]["kernel"],
        "layer4.1.conv2.weight": gradient["layer4_1"]["conv2"]["kernel"],
        "fc.weight": gradient["fc"]["kernel"],
    }.items():
        norm = ORACLE[f"train_mode/cross_entropy/grad_norm/{name}"]
        np.testing.assert_allclose(jnp.linalg.norm(leaf.ravel()), norm, rtol=1e-3, err_msg=name)
    scale = gradient["layer4_1"]["bn2"]["scale"]
    expected = ORACLE["train_mode/cross_entropy/grad/layer4.1.bn2.weight"]
    away = np.abs(scale - expected) > 1e-3 * np.abs(expected).max()
    # With another rounding, a place next to zero can be on the other side of the last ReLU; it moves its channel.
    assert away.sum() <= (0 if form == "native" else 2)
    np.testing.assert_allclose(scale, expected, rtol=0, atol=0.02 * np.abs(expected).max())


@functools.cache
def small_variables():
    """`resnet_small` with all parameters and statistics away from their start (and no initialiser to compile)."""
    model, rng = resnet("resnet_small", CLASSES), np.random.default_rng(0)
    shapes = jax.eval_shape(lambda: model.init(jax.random.key(0), small_image(), train=False))

    def value(path, leaf):
        if leaf.ndim > 1:
            return rng.normal(size=leaf.shape, scale=np.sqrt(2 / np.prod(leaf.shape[:-1])))
        low, high = (0.6, 1.6) if path[-1].key in ("scale", "var") else (0.1, 0.3)
        return rng.uniform(low, high, leaf.shape)

    return jax.tree.map_with_path(lambda path, leaf: value(path, leaf).astype(np.float32), shapes)


def small_image():
    return jax.random.normal(jax.random.key(2), (4, 64, 64, 3))


@functools.cache
def small_outputs(train, **fields):
    """(logits, updated statistics) of `resnet_small` on four images."""
    model = resnet("resnet_small", CLASSES, **fields)

    @jax.jit
    def run(variables):
        logits, update = model.apply(variables, small_image(), train, mutable=["batch_stats"])
        return logits, update["batch_stats"]

    return jax.device_get(run(small_variables()))


def test_frozen_batch_norm_is_the_stored_one_and_stays_it():
    stored = small_variables()["batch_stats"]
    evaluation_logits, _ = small_outputs(train=False)
    frozen_logits, frozen_stats = small_outputs(train=True, freeze_batch_norm=True)
    np.testing.assert_array_equal(frozen_logits, evaluation_logits)
    jax.tree.map(np.testing.assert_array_equal, frozen_stats, stored)

    train_logits, moved_stats = small_outputs(train=True)
    assert not np.allclose(train_logits, evaluation_logits, atol=1e-2)
    assert not any(jax.tree.leaves(jax.tree.map(np.array_equal, moved_stats, stored)))


def test_bfloat16_computes_in_half_and_answers_in_float32():
    logits, stats = small_outputs(train=True, dtype=jnp.bfloat16)
    exact_logits, exact_stats = small_outputs(train=True)
    assert logits.dtype == jnp.float32
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(stats))
    assert_close(logits, exact_logits, tolerance=0.03)
    jax.tree.map(lambda half, exact: assert_close(half, exact, tolerance=0.03), stats, exact_stats)

    model = resnet("resnet_small", CLASSES, dtype=jnp.bfloat16)
    initial = jax.eval_shape(lambda: model.init(jax.random.key(0), small_image(), train=False))
    assert all(leaf.dtype == jnp.float32 for leaf in jax.tree.leaves(initial))
    features = jax.eval_shape(lambda v: model.apply(v, small_image(), train=False, method="features"), initial)
    assert features.dtype == jnp.bfloat16


# Both kinds of what a pass keeps, on a network with everything that a part may be: a pool, a projection, two blocks.
TINY = {
    "block": BottleneckBlock,
    "stage_sizes": (2,),
    "stage_widths": (4,),
    "stage_strides": (2,),
    "stem_kernel": 3,
    "stem_stride": 1,
}


@functools.cache
def passes_that_keep_less():
    """(features, statistics, gradient) of a plain pass, of a lean one, and of one of a network with `remat`."""
    plain, again = ResNet(CLASSES, **TINY), ResNet(CLASSES, **TINY, remat=True)
    image = jax.random.normal(jax.random.key(3), (4, 8, 8, 3))
    variables = jax.jit(lambda key: plain.init(key, image, train=False))(jax.random.key(4))

    @jax.jit
    def run(variables):
        def of(model, method):
            def loss(params):
                features, new = model.apply(
                    variables | {"params": params}, image, train=True, method=method, mutable=["batch_stats"]
                )
                return (features * jnp.cos(features)).sum(), (features, new["batch_stats"])

            gradient, (features, stats) = jax.grad(loss, has_aux=True)(variables["params"])
            return features, stats, gradient

        return [of(plain, "features"), of(plain, "lean_features"), of(again, "features"), of(again, "lean_features")]

    return jax.device_get(run(variables)), variables


@pytest.mark.parametrize("number", [1, 2, 3], ids=["lean", "remat", "both"])
def test_a_pass_that_keeps_less_is_the_same_pass(number):
    found, _ = passes_that_keep_less()
    for plain, less in zip(found[0], found[number], strict=True):
        # A gradient is a sum of numbers up to the largest: that is what its rounding is in proportion to.
        close = lambda a, b: np.testing.assert_allclose(b, a, rtol=1e-4, atol=1e-5 * max(1, np.abs(a).max()))  # noqa: E731
        jax.tree.map(close, plain, less)
    assert all(np.abs(leaf).max() > 1e-3 for leaf in jax.tree.leaves(found[0][2]["layer1_1"]["conv2"]))


def test_with_remat_parameters_have_the_same_names():
    """A checkpoint of one is a checkpoint of the other."""
    again = ResNet(CLASSES, **TINY, remat=True)
    fresh = jax.eval_shape(lambda: again.init(jax.random.key(4), jnp.zeros((1, 8, 8, 3)), train=False))
    _, plain = passes_that_keep_less()
    assert jax.tree.map(jnp.shape, fresh) == jax.tree.map(jnp.shape, plain)


def test_with_remat_grad_cam_is_cut_at_the_same_layers():
    _, variables = passes_that_keep_less()
    image = jax.random.normal(jax.random.key(5), (2, 8, 8, 3))
    models = [ResNet(CLASSES, **TINY, remat=remat) for remat in (False, True)]
    cuts = [saliency.cut_linen(model, variables, "layer1_0", train=False) for model in models]
    maps = jax.jit(lambda cuts: [saliency.grad_cam(cut, image) for cut in cuts])(cuts)
    np.testing.assert_allclose(maps[1], maps[0], rtol=1e-5, atol=1e-6)
    assert np.ptp(maps[0]) > 0


def test_call_is_head_of_features():
    model = resnet("resnet_small", CLASSES)

    @jax.jit
    def in_two_parts(variables):
        features = model.apply(variables, small_image(), train=False, method="features")
        return model.apply(variables, features, method="head")

    logits, _ = small_outputs(train=False)
    np.testing.assert_array_equal(in_two_parts(small_variables()), logits)


@pytest.mark.parametrize(
    ("name", "side", "shape"),
    [
        ("resnet18", 224, (7, 7, 512)),
        ("resnet50", 224, (7, 7, 2048)),
        ("resnet_small", 32, (4, 4, 128)),
        ("resnet_small", 64, (8, 8, 128)),
        ("resnet_small", 96, (12, 12, 128)),
        ("resnet_local", 64, (8, 8, 512)),
    ],
)
def test_feature_map_size(name, side, shape):
    model, image = resnet(name, CLASSES), jnp.zeros((2, side, side, 3))

    def features():
        variables = model.init(jax.random.key(0), image, train=False)
        return model.apply(variables, image, train=False, method="features")

    assert jax.eval_shape(features).shape == (2, *shape)


@pytest.mark.parametrize(("name", "pixels"), [("resnet_small", 108), ("resnet_local", 36)])
def test_how_much_of_the_image_a_cell_of_the_last_map_has_seen(name, pixels):
    model, image = resnet(name, CLASSES), jax.random.normal(jax.random.key(0), (1, 160, 160, 3))

    @jax.jit
    def influence():
        variables = model.init(jax.random.key(1), image[:, :32, :32], train=False)

        def one_cell(image):
            return model.apply(variables, image, train=False, method="features")[0, 10, 10].sum()

        return jnp.abs(jax.grad(one_cell)(image)[0]).sum(-1)

    rows, columns = np.nonzero(np.asarray(influence()))
    assert (np.ptp(rows) + 1, np.ptp(columns) + 1) == (pixels, pixels)


def test_convolutions_start_with_he_variance_by_fan_out():
    model = resnet("resnet_small", CLASSES)

    @jax.jit  # which drops unused values
    def one_kernel():
        variables = model.init(jax.random.key(0), jnp.zeros((1, 64, 64, 3)), train=False)
        return variables["params"]["layer2_0"]["conv1"]["kernel"]

    kernel = one_kernel()
    height, width, fan_in, fan_out = kernel.shape
    assert fan_in != fan_out  # else the two would be one
    np.testing.assert_allclose(kernel.std(), np.sqrt(2 / (height * width * fan_out)), rtol=0.03)


def test_unknown_name_lists_the_known_ones():
    with pytest.raises(ValueError, match=r"no network 'resnet19'.*resnet18, resnet34, resnet50, resnet_small") as error:
        resnet("resnet19", CLASSES)
    assert "\n" not in str(error.value)
    assert all(name in str(error.value) for name in RESNETS)
