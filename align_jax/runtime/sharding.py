"""One program for one device or all of a host's: a mesh with one axis, `data`.

`jax.jit` runs over global arrays, and their sharding says which device holds which part. States are replicated, batches
are split along their first axis. BatchNorm therefore uses the statistics of the *global* batch; per-device code (pmap,
DataParallel) would normalise each device's part by itself.
"""

import functools
from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec


def data_mesh(devices: list[jax.Device] | None = None) -> Mesh:
    """All devices along one axis, `data`."""
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


def place_batch(mesh: Mesh, batch: Mapping[str, np.ndarray]) -> dict[str, jax.Array]:
    """This process's rows of a batch, as its part of a global array split by example."""
    sharding = split_by_example(mesh)
    return {name: jax.make_array_from_process_local_data(sharding, rows) for name, rows in batch.items()}


def on_every_device(values: jax.Array) -> jax.Array:
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

    return jax.jit(on_mesh, donate_argnums=donated, out_shardings=replicated(mesh))
