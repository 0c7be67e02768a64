"""One program for one device, all of a host's, or those of several hosts: a mesh with one axis, `data`.

`jax.jit` runs over global arrays, and their sharding says which device holds which part. States are replicated, batches
are split along their first axis. BatchNorm therefore uses the statistics of the *global* batch; per-device code (pmap,
DataParallel) would normalise each device's part by itself.

Where several processes share the devices, each has its own rows of every batch in memory. In order they are the batch
of one process, so that a step does the same whatever the number of processes.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec
from jaxtyping import Int, Shaped

# On CPUs XLA drops optimisation barriers early, and then finds that what `jax.checkpoint` is to compute a second time
# is there already. With barriers that stay, programs need less memory, as they do on GPUs and TPUs.
KEEP_BARRIERS: dict[str, str | bool] = {"xla_disable_hlo_passes": "cse_barrier_expander"}


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """All devices of all processes along one axis, `data`."""
    devices = jax.devices() if devices is None else devices
    return jax.make_mesh((len(devices),), ("data",), axis_types=(AxisType.Auto,), devices=devices)


def replicated(mesh: Mesh) -> NamedSharding:
    """A whole copy on every device: states, keys, metrics."""
    return NamedSharding(mesh, PartitionSpec())


def split_by_example(mesh: Mesh) -> NamedSharding:
    """The first axis over the devices: batches."""
    return NamedSharding(mesh, PartitionSpec("data"))


def shared_evenly(mesh: Mesh, rows: int) -> int:
    """The number of rows of a batch that the devices share evenly: `rows`, or a few more."""
    return -(-rows // mesh.size) * mesh.size


def own_rows(mesh: Mesh, rows: int) -> Int[np.ndarray, " own"]:
    """Which rows of a batch the devices of this process hold, in ascending order.

    Args:
      mesh: made by `data_mesh`.
      rows: of the whole batch, which the devices share evenly.
    """
    parts = split_by_example(mesh).addressable_devices_indices_map((rows,)).values()
    return np.unique(np.concatenate([np.arange(rows)[part] for part in parts]))


def place_batch(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """This process's rows of a batch, as its part of a global array split by example.

    Args:
      mesh: made by `data_mesh`.
      batch: the rows that `own_rows` names, in its order; of one process, all rows.
    """
    return {name: _place(mesh, rows) for name, rows in batch.items()}


def _place(mesh: Mesh, rows: np.ndarray) -> jax.Array:
    sharding = split_by_example(mesh)
    total = len(rows) * mesh.size // len(sharding.addressable_devices)
    own = own_rows(mesh, total)

    def part(index: tuple[slice, ...] | None) -> np.ndarray:
        assert index is not None
        wanted = np.arange(total)[index[0]]
        start = int(np.searchsorted(own, wanted[0]))
        return rows[start : start + len(wanted)]

    return jax.make_array_from_callback((total, *rows.shape[1:]), sharding, part)


def replicate(mesh: Mesh, tree: Any) -> Any:
    """Arrays that every process has alike, whole on each device."""
    sharding = replicated(mesh)

    def place(array: Any) -> jax.Array:
        values = np.asarray(array)
        return jax.make_array_from_callback(values.shape, sharding, lambda index: values[index])

    return jax.tree.map(place, tree)


def replicated_key(mesh: Mesh, seed: int) -> jax.Array:
    """The root of a run's randomness, on every device."""
    # The seed is an input of the program, not a part of it: runs with other seeds compile nothing anew.
    numbers = replicate(mesh, jax.random.key_data(jax.random.key(seed)))
    return jax.jit(jax.random.wrap_key_data, out_shardings=replicated(mesh))(numbers)


def on_every_device(values: Shaped[jax.Array, "..."]) -> Shaped[jax.Array, "..."]:
    """The values, which each device computes by itself in a program of `compile_step`; elsewhere as they are.

    For what is small and made from what every device has, such as random numbers from a key. Split over the devices, a
    loop that draws until all are accepted would ask the others each time whether they are done.
    """
    if set(jax.sharding.get_abstract_mesh().axis_types) != {AxisType.Auto}:
        return values
    return jax.lax.with_sharding_constraint(values, PartitionSpec())


def compile_step(step: Callable[..., Any], mesh: Mesh, donated: tuple[int, ...] = ()) -> jax.stages.Wrapped:
    """`jax.jit` of a step: inputs stay where they were placed, outputs are replicated.

    Args:
      step: positional arguments only.
      mesh: made by `data_mesh`.
      donated: positions of the states. Their memory is reused for the new states, so the caller must not read the old
        ones again. Batches are not donated: no output of a step has their shape.
    """

    @functools.wraps(step)
    def on_mesh(*arguments: Any) -> Any:
        with jax.sharding.use_abstract_mesh(mesh.abstract_mesh):
            return step(*arguments)

    options = compiler_options(mesh)
    return jax.jit(on_mesh, donate_argnums=donated, out_shardings=replicated(mesh), compiler_options=options)


def compiler_options(mesh: Mesh) -> dict[str, str | bool]:
    """What XLA is told for every program on these devices."""
    return KEEP_BARRIERS if mesh.devices.flat[0].platform == "cpu" else {}
