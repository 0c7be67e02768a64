"""Eight virtual devices do what one does; and what XLA is told for every program."""

import jax
import jax.numpy as jnp

from align_jax.runtime.sharding import compile_step, data_mesh

from ..virtual_devices import run_on_eight_devices

PROGRAM = """
import functools, jax, numpy as np, optax
from align_jax.runtime.sharding import (
    compile_step, data_mesh, own_rows, place_batch, replicate, replicated, replicated_key
)
from align_jax.steps import align_round
from tests.small_networks import small_batch, small_states, small_updates

assert jax.device_count() == 8

def three_rounds(mesh):
    # A small rate: BCE is steep near 0 and 1, and at 0.1 it multiplies rounding by a hundred in each step.
    classifier, masker = small_updates(optimizer=optax.sgd(0.01), swapped_cls=0.5)
    states = jax.device_put(small_states(classifier, masker), replicated(mesh))
    key = jax.device_put(jax.random.key(7), replicated(mesh))
    step = compile_step(functools.partial(align_round, classifier, masker), mesh, donated=(0, 1))
    losses = []
    for seed in range(3):
        batch = place_batch(mesh, jax.tree.map(np.asarray, small_batch(seed, size=16)))
        *states, metrics = step(*states, [batch], key)
        losses.append([float(metrics[name].value()) for name in ("masker/loss", "classifier/loss")])
    return np.array(losses), jax.device_get(states)

one, eight = (three_rounds(data_mesh(jax.devices()[:n])) for n in (1, 8))
np.testing.assert_allclose(eight[0][0], one[0][0], rtol=1e-5)
np.testing.assert_allclose(eight[0], one[0], rtol=1e-4)  # later losses come from parameters that differ by rounding
jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=5e-4), eight[1], one[1])

assert list(own_rows(data_mesh(), 16)) == list(range(16))
# In whichever order the mesh has the devices, row by row the batch is the one that was given.
turned = data_mesh(jax.devices()[::-1])
rows = np.arange(16 * 3).reshape(16, 3)
np.testing.assert_array_equal(place_batch(turned, {"rows": rows})["rows"], rows)
tree = replicate(turned, {"a": rows, "b": np.float32(2)})
assert tree["a"].sharding.is_fully_replicated and float(tree["b"]) == 2
np.testing.assert_array_equal(tree["a"], rows)
np.testing.assert_array_equal(
    jax.random.key_data(replicated_key(turned, 5)), jax.random.key_data(jax.random.key(5))
)
batch = place_batch(data_mesh(), {"image": np.zeros((16, 4, 4, 3))})
assert {shard.data.shape[0] for shard in batch["image"].addressable_shards} == {2}
print("same")
"""


def test_eight_devices_are_one():
    run_on_eight_devices(PROGRAM)


def test_what_is_to_be_computed_a_second_time_is_not_kept():
    """XLA's own way on CPUs is to keep it nevertheless."""

    def gradient(weights, x):
        def loss(weights):
            hidden = x
            for block in weights:
                hidden = jax.checkpoint(lambda h, block=block: jnp.tanh(jnp.tanh(jnp.tanh(h @ block) @ block) @ block))(
                    hidden
                )
            return hidden.sum()

        return jax.grad(loss)(weights)

    weights = [jnp.full((16, 16), 0.1)] * 6
    x = jnp.ones((2048, 16))
    ours = compile_step(gradient, data_mesh(jax.devices()[:1])).lower(weights, x).compile()
    plain = jax.jit(gradient).lower(weights, x).compile()
    ours_bytes, plain_bytes = (program.memory_analysis().temp_size_in_bytes for program in (ours, plain))
    assert ours_bytes < 0.75 * plain_bytes
    for a, b in zip(ours(weights, x), plain(weights, x), strict=True):
        assert jnp.allclose(a, b, rtol=1e-5)
