"""The faster convolutions equal XLA's, in value and derivatives, for every shape of the shipped networks."""

import functools

import flax.linen as nn
import jax
import jax.numpy as jnp
import numpy as np
import pytest
from jax import export, lax
from jax.extend.core import jaxprs_in_params

from align_jax import saliency
from align_jax.models.convolution import convolution, convolution_p, faster_convolution, form_of
from align_jax.models.convolution_forms import DIMENSIONS, FORMS, Geometry, native
from align_jax.models.masker import EncoderDecoder
from align_jax.models.resnet import resnet
from tests.virtual_devices import run_on_eight_devices

PRODUCTS = ("output", "input", "kernel")
# ResNet-34 has ResNet-18's shapes.
NETWORKS = {
    "resnet_small:64": (resnet("resnet_small", 5), 64),
    "resnet_local:64": (resnet("resnet_local", 5), 64),
    "resnet18:32": (resnet("resnet18", 5), 32),
    "resnet18:64": (resnet("resnet18", 5), 64),
    "resnet18:128": (resnet("resnet18", 5), 128),
    "resnet50:224": (resnet("resnet50", 5), 224),
    "masker:64": (EncoderDecoder(), 64),
    "masker:224": (EncoderDecoder(), 224),
}


def convolutions(jaxpr):
    """The shapes of x and w, and the geometry, of every convolution in a program."""
    for equation in jaxpr.eqns:
        if equation.primitive is convolution_p and equation.params["product"] == "output":
            yield *(variable.aval.shape for variable in equation.invars), equation.params["geometry"]
        for inner in jaxprs_in_params(equation.params):
            yield from convolutions(inner)


def shapes_of(module, size, batch=2):
    image = jax.ShapeDtypeStruct((batch, size, size, 3), jnp.float32)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(image.shape), False))
    traced = jax.make_jaxpr(lambda variables, image: module.apply(variables, image, False))(variables, image)
    return dict.fromkeys(convolutions(traced.jaxpr))


def waves(shape, phase=0.0):
    """Numbers that look random; to draw them would take longer to compile."""
    place = jnp.arange(np.prod(shape), dtype=jnp.float32)
    return jnp.sin(phase + place * (1.7 + 0.001 * (place % 977))).reshape(shape)


def factors_of(product, x_shape, w_shape, geometry):
    x, w, above = waves(x_shape), waves(w_shape, 1.0), waves((x_shape[0], *geometry.output, w_shape[3]), 2.0)
    return {"output": (x, w), "input": (above, w), "kernel": (x, above)}[product]


def error(found, expected):
    """The largest difference, relative to the largest value; of zeros, the largest difference."""
    largest = jnp.abs(expected).max()
    return jnp.abs(found - expected).max() / jnp.where(largest > 0, largest, 1)


def form_in_a_batch(images, product, x_shape, w_shape, geometry):
    shapes = jax.eval_shape(lambda: factors_of(product, (images, *x_shape[1:]), w_shape, geometry))
    return form_of(product, *(factor.shape for factor in shapes), geometry)


@pytest.mark.parametrize("name", NETWORKS)
def test_every_product_of_a_shipped_network_equals_xlas(monkeypatch, name):
    # Else two images would fit into one part of `rows`, and that is XLA's own.
    monkeypatch.setattr("align_jax.models.convolution_forms.PART", 2**14)
    shapes = shapes_of(*NETWORKS[name])
    assert len(shapes) >= 5
    # The form may depend on the size of the batch, its result may not.
    changed = dict.fromkeys(
        (form, product, *each)
        for each in shapes
        for product in PRODUCTS
        for batch in (2, 64)
        if (form := form_in_a_batch(batch, product, *each)) != "native"
    )
    assert changed

    @jax.jit
    def errors():
        found = []
        for form, product, x, w, geometry in changed:
            factors = factors_of(product, x, w, geometry)
            found.append(error(FORMS[form](product, *factors, geometry), native(product, *factors, geometry)))
        return found

    wrong = [(case, float(e)) for case, e in zip(changed, errors(), strict=True) if not e <= 1e-5]
    assert not wrong


GEOMETRIES = {
    "odd sides, padded on one side": Geometry((5, 6), (3, 3), padding=((1, 0), (0, 2))),
    "stride 2": Geometry((6, 7), (3, 3), (2, 2), ((1, 1), (1, 1))),
    "7 x 7": Geometry((9, 8), (7, 7), (2, 2), ((3, 2), (2, 3))),
    "patches": Geometry((8, 12), (4, 4), (4, 4)),
    "patches with padding": Geometry((16, 16), (4, 4), (4, 4), ((1, 1), (1, 1))),
    "patches of dilated taps": Geometry((8, 8), (2, 2), (2, 2), ((1, 1), (1, 1)), (2, 2)),
    "patches with a rest": Geometry((9, 11), (4, 4), (4, 4)),
    "a stride above the kernel": Geometry((7, 7), (2, 2), (3, 3)),
    "taps that see nothing": Geometry((2, 2), (3, 3), padding=((2, 2), (2, 2)), dilation=(2, 2)),
    "a map of 1 x 1": Geometry((1, 1), (3, 3), padding=((1, 1), (1, 1))),
    "1 x 1, stride 2": Geometry((5, 5), (1, 1), (2, 2)),
    "padding above the kernel": Geometry((5, 4), (3, 3), padding=((3, 4), (1, 4))),
    "stride and dilation": Geometry((9, 8), (3, 3), (2, 2), ((2, 2), (2, 2)), (2, 2)),
    "nothing is seen": Geometry((2, 2), (2, 2), padding=((2, 0), (3, 0)), strides=(9, 9)),
}


@pytest.mark.parametrize("name", GEOMETRIES)
def test_every_form_is_the_convolution(monkeypatch, name):
    monkeypatch.setattr("align_jax.models.convolution_forms.PART", 40)  # a row or a few
    geometry = GEOMETRIES[name]

    @jax.jit
    def errors():
        cases = [(form, product) for form in FORMS for product in PRODUCTS if form != "native"]
        found = {}
        for form, product in cases:
            factors = factors_of(product, (2, *geometry.image, 3), (*geometry.kernel, 3, 4), geometry)
            found[f"{form} {product}"] = error(
                FORMS[form](product, *factors, geometry), native(product, *factors, geometry)
            )
        return found

    assert max(errors().values()) <= 1e-5


def test_every_form_keeps_the_digits_of_float64(monkeypatch):
    monkeypatch.setattr("align_jax.models.convolution_forms.PART", 40)
    geometry = Geometry((6, 5), (3, 3), padding=((1, 1), (1, 1)))
    with jax.enable_x64(True):
        for product in PRODUCTS:
            shapes = [f.shape for f in factors_of(product, (2, 6, 5, 3), (3, 3, 3, 4), geometry)]
            factors = [np.random.default_rng(0).normal(size=shape) for shape in shapes]
            for form in FORMS.values():
                found = form(product, *(jnp.asarray(f) for f in factors), geometry)
                assert found.dtype == jnp.float64
                assert error(found, native(product, *(jnp.asarray(f) for f in factors), geometry)) <= 1e-12


PLAIN = Geometry((32, 32), (3, 3), padding=((1, 1), (1, 1)))
CHOSEN = {
    "a thin kernel's gradient, in parts": ("kernel", (8, 32, 32, 64), (8, 32, 32, 64), PLAIN, "rows"),
    "one that fits the cache": ("kernel", (2, 32, 32, 64), (2, 32, 32, 64), PLAIN, "native"),
    "a wide kernel's gradient": ("kernel", (8, 32, 32, 64), (8, 32, 32, 128), PLAIN, "native"),
    "64 channels": ("output", (4, 32, 32, 64), (3, 3, 64, 64), PLAIN, "winograd"),
    "64 channels, backwards": ("input", (4, 32, 32, 64), (3, 3, 64, 64), PLAIN, "winograd"),
    "more channels": ("output", (8, 8, 8, 256), (3, 3, 256, 512), PLAIN._replace(image=(8, 8)), "winograd"),
    "a small map": ("output", (8, 8, 8, 128), (3, 3, 128, 256), PLAIN._replace(image=(8, 8)), "native"),
    "fewer channels": ("output", (16, 32, 32, 32), (3, 3, 32, 64), PLAIN, "native"),
    "a stride": ("output", (9, 32, 32, 64), (3, 3, 64, 64), PLAIN._replace(strides=(2, 2)), "native"),
    "a dilation": ("output", (9, 32, 32, 64), (3, 3, 64, 64), PLAIN._replace(dilation=(2, 2)), "native"),
    "a tiny map": ("output", (99, 4, 4, 256), (3, 3, 256, 256), PLAIN._replace(image=(4, 4)), "taps"),
}


@pytest.mark.parametrize("name", CHOSEN)
def test_the_rule_chooses(name):
    *case, expected = CHOSEN[name]
    assert form_of(*case) == expected


def test_a_factor_is_made_once_on_cpus():
    def loss(w, x):
        return convolution(jnp.tanh(x), w, (1, 1), "SAME", dimension_numbers=DIMENSIONS).sum()

    shapes = jax.ShapeDtypeStruct((3, 3, 4, 4), jnp.float32), jax.ShapeDtypeStruct((2, 8, 8, 4), jnp.float32)
    programs = {p: export.export(jax.jit(jax.grad(loss)), platforms=[p])(*shapes).mlir_module() for p in ("cpu", "tpu")}
    assert "optimization_barrier" in programs["cpu"]
    assert "optimization_barrier" not in programs["tpu"]


def loss_of(convolve):
    """A loss whose value and derivatives read both factors in a nonlinear way."""

    def loss(x, w):
        return jnp.sin(convolve(x, w, (2, 1), "SAME", rhs_dilation=(1, 2), dimension_numbers=DIMENSIONS)).sum()

    return loss


DERIVATIVES = {
    "gradient": lambda f: jax.grad(f, (0, 1)),
    "gradient of gradients": lambda f: jax.grad(
        lambda x, w: sum((g**3).sum() for g in jax.grad(f, (0, 1))(x, w)), (0, 1)
    ),
    "forward over reverse": lambda f: lambda x, w: jax.jvp(jax.grad(f, (0, 1)), (x, w), (w.sum() * x, w**2))[1],
    "linearised": lambda f: lambda x, w: jax.linearize(f, x, w)[1](x**2, w),
    "with recomputation": lambda f: jax.grad(jax.checkpoint(f), (0, 1)),
}


@pytest.mark.parametrize("form", ["patches", "taps"])
@pytest.mark.parametrize("name", DERIVATIVES)
def test_derivatives_of_any_order_equal_xlas(monkeypatch, name, form):
    monkeypatch.setattr("align_jax.models.convolution.form_of", lambda *_: form)
    x, w = waves((2, 6, 5, 3)), waves((3, 3, 3, 4), 1.0)
    found, expected = (
        jax.jit(DERIVATIVES[name](loss_of(each)))(x, w) for each in (convolution, lax.conv_general_dilated)
    )
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=2e-5 * float(jnp.abs(b).max())), found, expected)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_a_kernels_gradient_in_half_precision_is_added_up_in_float32(monkeypatch, dtype):
    monkeypatch.setattr("align_jax.models.convolution_forms.PART", 40)
    geometry = Geometry((32, 4), (3, 3), padding=((1, 1), (1, 1)))
    x, above = (f.astype(dtype) for f in factors_of("kernel", (2, 32, 4, 3), (3, 3, 3, 4), geometry))
    found = FORMS["rows"]("kernel", x, above, geometry)
    expected = native("kernel", x.astype("float32"), above.astype("float32"), geometry)
    assert found.dtype == dtype
    assert error(found.astype("float32"), expected) <= 2 * jnp.finfo(dtype).eps


def test_vmap_over_images_kernels_and_both(monkeypatch):
    monkeypatch.setattr("align_jax.models.convolution.form_of", lambda *_: "taps")
    xs, ws = waves((2, 3, 6, 5, 3)), waves((2, 3, 3, 3, 4), 1.0)
    for axes, arguments in (((0, None), (xs, ws[0])), ((None, 0), (xs[0], ws)), ((0, 0), (xs, ws))):
        found, expected = (
            jax.jit(jax.vmap(jax.grad(loss_of(each), (0, 1)), axes))(*arguments)
            for each in (convolution, lax.conv_general_dilated)
        )
        jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5), found, expected)


def test_it_runs_without_jit():
    x, w = waves((2, 4, 4, 3)), waves((3, 3, 3, 4), 1.0)
    found, expected = (jax.grad(loss_of(each), 1)(x, w) for each in (convolution, lax.conv_general_dilated))
    np.testing.assert_allclose(found, expected, atol=1e-5)


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
@pytest.mark.parametrize(("form", "side", "inside", "outside"), [("taps", 4, 256, 8), ("winograd", 32, 64, 64)])
def test_half_precision_keeps_its_type_and_rounds_once(dtype, form, side, inside, outside):
    x, w = waves((4, side, side, inside)).astype(dtype), waves((3, 3, inside, outside), 1.0).astype(dtype)
    convolve = functools.partial(convolution, window_strides=(1, 1), padding="SAME", dimension_numbers=DIMENSIONS)
    assert form_of("output", x.shape, w.shape, Geometry((side, side), (3, 3), padding=((1, 1), (1, 1)))) == form
    found = jax.jit(convolve)(x, w)
    expected = jax.jit(convolve)(x.astype("float32"), w.astype("float32"))
    assert found.dtype == dtype
    assert error(found.astype("float32"), expected) <= jnp.finfo(dtype).eps


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
def test_other_platforms_are_given_xlas_convolutions(dtype):
    module = resnet("resnet18", 5, dtype=jnp.dtype(dtype))
    image = jax.ShapeDtypeStruct((2, 64, 64, 3), jnp.float32)
    variables = jax.eval_shape(lambda: module.init(jax.random.key(0), jnp.zeros(image.shape), False))

    def loss(params, image):
        return module.apply({"params": params, "batch_stats": variables_stats}, image, False).sum()

    variables_stats = jax.tree.map(lambda leaf: jnp.zeros(leaf.shape, leaf.dtype), variables["batch_stats"])
    counted = {}
    for platform in ("tpu", "cuda", "cpu"):
        program = export.export(jax.jit(jax.grad(loss)), platforms=[platform])(variables["params"], image)
        text = program.mlir_module()
        counted[platform] = (text.count("stablehlo.convolution("), text.count("stablehlo.select_and_scatter"))
    # 20 convolutions; each has a gradient of its kernel, and all but the first one of its input.
    assert counted["tpu"] == counted["cuda"] == (20 + 20 + 19, 1)
    assert counted["cpu"][0] < 40
    assert counted["cpu"][1] == 0


class Layer(nn.Module):
    faster: bool

    @nn.compact
    def __call__(self, image):
        chosen = {"conv_general_dilated_cls": faster_convolution} if self.faster else {}
        x = nn.relu(nn.Conv(8, (3, 3), 2, name="first", **chosen)(image))
        return nn.Conv(4, (1, 1), name="second", **chosen)(x).mean((1, 2))


def test_a_layer_keeps_its_parameters_and_explanations():
    image = waves((2, 8, 8, 3))
    variables = Layer(False).init(jax.random.key(0), image)
    again = Layer(True).init(jax.random.key(0), image)
    jax.tree.map(np.testing.assert_array_equal, again, variables)
    methods = (saliency.guided_backpropagation, saliency.gradient)
    for method in methods:
        found, expected = (
            method(lambda image, faster=faster: Layer(faster).apply(variables, image), image, 1)
            for faster in (True, False)
        )
        np.testing.assert_allclose(found, expected, atol=1e-6)


OTHERS = {
    "groups": ((2, 4, 4, 4), (3, 3, 2, 4), {"feature_group_count": 2, "dimension_numbers": DIMENSIONS}),
    "spread images": ((2, 4, 4, 4), (3, 3, 4, 4), {"lhs_dilation": (2, 2), "dimension_numbers": DIMENSIONS}),
    "precision": ((2, 4, 4, 4), (3, 3, 4, 4), {"precision": "highest", "dimension_numbers": DIMENSIONS}),
    "channels first": ((2, 4, 5, 5), (4, 4, 3, 3), {"dimension_numbers": ("NCHW", "OIHW", "NCHW")}),
    "one dimension": ((2, 5, 4), (3, 4, 4), {"dimension_numbers": ("NHC", "HIO", "NHC")}),
}


@pytest.mark.parametrize("name", OTHERS)
def test_what_is_none_of_ours_is_handed_on(name):
    x, w, named = OTHERS[name]
    x, w = waves(x), waves(w, 1.0)
    strides, padding = (1,) * (x.ndim - 2), ((1, 1),) * (x.ndim - 2)
    found = jax.make_jaxpr(lambda x, w: convolution(x, w, strides, padding, **named))(x, w)
    assert [equation.primitive.name for equation in found.eqns] == ["conv_general_dilated"]
    np.testing.assert_array_equal(
        convolution(x, w, strides, padding, **named), lax.conv_general_dilated(x, w, strides, padding, **named)
    )


EIGHT_DEVICES = """
import jax, jax.numpy as jnp, numpy as np
from jax.sharding import NamedSharding, PartitionSpec as P
from align_jax.models.convolution import convolution
from align_jax.models.resnet import resnet
from align_jax.runtime.sharding import data_mesh, replicated, split_by_example
module = resnet("resnet18", 3)
image = jnp.sin(jnp.arange(16 * 32 * 32 * 3.0)).reshape(16, 32, 32, 3)
variables = module.init(jax.random.key(0), image[:1], False)

def gradient(params, image):
    apply = lambda params: module.apply(variables | {"params": params}, image, False)
    return jax.grad(lambda params: jax.nn.logsumexp(apply(params), -1).mean())(params)

found = []
for devices in (jax.devices()[:1], jax.devices()):
    mesh = data_mesh(devices)
    placed = jax.device_put(variables["params"], replicated(mesh)), jax.device_put(image, split_by_example(mesh))
    program = jax.jit(gradient, out_shardings=replicated(mesh)).lower(*placed).compile()
    found.append(jax.device_get(program(*placed)))
assert "all-gather" not in program.as_text() and "all-to-all" not in program.as_text()
scale = max(float(abs(leaf).max()) for leaf in jax.tree.leaves(found[0]))
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-5 * scale), *found)
# JAX sums a parameter's gradient over devices because the result's type says that it differs between them.
along, everywhere = P("data"), P()
x, w = jax.random.normal(jax.random.key(2), (8, 4, 4, 3)), jax.random.normal(jax.random.key(3), (3, 3, 3, 4))
gradient = jax.grad(lambda w, x: convolution(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC")).sum())
for axis_type in (jax.sharding.AxisType.Auto, jax.sharding.AxisType.Explicit):
    typed = jax.make_mesh((8,), ("data",), axis_types=(axis_type,))
    sharded = jax.jit(jax.shard_map(gradient, mesh=typed, in_specs=(everywhere, along), out_specs=everywhere))
    placed = (jax.device_put(value, NamedSharding(typed, spec)) for value, spec in ((w, everywhere), (x, along)))
    np.testing.assert_allclose(sharded(*placed), gradient(w, x), rtol=1e-4, atol=1e-4)
print("same")
"""


def test_eight_devices_compute_their_own_images():
    run_on_eight_devices(EIGHT_DEVICES)


def test_channels_that_do_not_fit_are_refused_when_the_function_is_traced():
    with pytest.raises((TypeError, ValueError), match="feature"):
        jax.eval_shape(
            lambda x, w: convolution(x, w, (1, 1), "SAME", dimension_numbers=DIMENSIONS),
            jnp.zeros((1, 4, 4, 3)),
            jnp.zeros((3, 3, 2, 4)),
        )
