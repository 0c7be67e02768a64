"""Passes in chunks: the same sums, memory that does not grow, and nothing compiled a second time."""

import chex
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.saliency.passes import mapped, summed

from .reference import compilations

ITEMS = {"number": np.arange(7), "weight": np.linspace(0.5, 2.0, 7, dtype=np.float32)}
IMAGE = jax.random.normal(jax.random.key(0), (3, 4))


def each(items, scale=1.0):
    """[j 3 4]: what one pass computes."""
    return scale * items["weight"][:, None, None] * jnp.sin(IMAGE * items["number"][:, None, None])


def total(items, scale=1.0):
    values = each(items, scale)
    return {"sum": values.sum(0), "squares": (values**2).sum(0)}


@pytest.mark.parametrize("chunk", [1, 2, 3, 7, 100])
@pytest.mark.parametrize("wrap", [lambda f: f, jax.jit], ids=["eager", "jit"])
def test_chunks_change_nothing(chunk, wrap):
    chex.assert_trees_all_close(wrap(lambda: summed(total, ITEMS, chunk))(), total(ITEMS), rtol=1e-5, atol=1e-6)
    chex.assert_trees_all_close(wrap(lambda: mapped(each, ITEMS, chunk))(), each(ITEMS), rtol=1e-6)


@pytest.mark.parametrize("chunk", [2, 7])
def test_gradients_and_vmap_go_through(chunk):
    def loss(scale):
        return summed(lambda items: total(items, scale)["squares"], ITEMS, chunk).sum()

    expected = jax.grad(lambda scale: total(ITEMS, scale)["squares"].sum())
    scales = jnp.array([0.5, 2.0])
    for gradient in (jax.grad(loss), jax.jit(jax.grad(loss))):
        chex.assert_trees_all_close(gradient(0.7), expected(0.7), rtol=1e-5)
        chex.assert_trees_all_close(jax.vmap(gradient)(scales), jax.vmap(expected)(scales), rtol=1e-5)


def test_a_compiled_function_is_traced_once_and_nothing_is_compiled_again(caplog):
    traces = []

    @jax.jit
    def model(x):
        traces.append(x.shape)
        return jnp.tanh(x) * 2

    def call():  # a new closure each time, as a method makes one
        return summed(lambda items: model(each(items)).sum(0), ITEMS, 2), mapped(lambda i: model(each(i)), ITEMS, 2)

    assert compilations(caplog, call) > 0
    assert traces == [(2, 3, 4), (1, 3, 4)]
    assert compilations(caplog, call) == 0
    assert len(traces) == 2


def test_inside_of_jit_the_program_does_not_grow_with_the_passes():
    def memory_and_length(passes, function):
        # From a number and a key, as masks are drawn: 64 KiB for each pass.
        draw = lambda number: jax.random.normal(jax.random.fold_in(jax.random.key(0), number), (16384,))  # noqa: E731
        body = lambda scale, numbers: function(scale * jax.vmap(draw)(numbers))  # noqa: E731
        compiled = jax.jit(lambda scale: summed(lambda n: body(scale, n), np.arange(passes), 4)).lower(2.0).compile()
        return compiled.memory_analysis().temp_size_in_bytes, len(compiled.as_text())

    few, many = (memory_and_length(passes, lambda drawn: jnp.sin(drawn).sum(0)) for passes in (20, 400))
    assert many[0] <= 1.2 * few[0]
    assert many[1] <= 1.2 * few[1]


def test_a_constant_image_inside_of_jit_makes_a_loop_too():
    """Nothing that is handed over is traced here; the parameters hide in the closure."""
    text = jax.jit(lambda scale: summed(lambda i: total(i, scale), ITEMS, 1)).lower(1.0).as_text()
    assert "stablehlo.while" in text


SHARDED = {
    "smooth_grad": lambda model, x: saliency.smooth_grad(model, x, 0, key=jax.random.key(0), samples=4),
    "var_grad": lambda model, x: saliency.var_grad(model, x, 0, key=jax.random.key(0), samples=4),
    "integrated_gradients": lambda model, x: saliency.integrated_gradients(model, x, 0, steps=3),
    "occlusion": lambda model, x: saliency.occlusion(model, x, 0, window=2),
    "rise": lambda model, x: saliency.rise(model, x, 0, key=jax.random.key(0), samples=4, grid=2),
    "score_cam": lambda model, x: saliency.score_cam(saliency.cut(lambda x: x, model), x, 0),
}


@pytest.mark.parametrize("name", SHARDED)
def test_methods_run_inside_of_shard_map(name):
    """Each device explains its own images, and JAX checks the loop's types."""
    images = jax.random.normal(jax.random.key(1), (2, 4, 4, 3))
    method = lambda x: SHARDED[name](lambda x: jnp.tanh(x**2).sum((1, 2)), x)  # noqa: E731
    mesh = jax.make_mesh((1,), ("devices",), axis_types=(jax.sharding.AxisType.Auto,))
    along = jax.sharding.PartitionSpec("devices")
    found = jax.jit(jax.shard_map(method, mesh=mesh, in_specs=along, out_specs=along))(images)
    chex.assert_trees_all_close(found, jax.jit(method)(images), rtol=1e-5, atol=1e-6)


def test_wrong_chunks_and_items_are_refused():
    with pytest.raises(ValueError, match="a chunk of 0 passes"):
        summed(total, ITEMS, 0)
    with pytest.raises(ValueError, match=r"lengths \[2, 3\]"):
        mapped(each, {"number": np.arange(2), "weight": np.ones(3)}, 1)
    with pytest.raises(ValueError, match=r"lengths \[0\]"):
        mapped(each, {"number": np.arange(0), "weight": np.ones(0)}, 1)
