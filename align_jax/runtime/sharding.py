"""One program for one device or all of a host's: a mesh with one axis, `data`.

`jax.jit` runs over global arrays, and their sharding says which device holds which part. States are replicated, batches
are split along their first axis. BatchNorm therefore uses the statistics of the *global* batch; per-device code (pmap,
DataParallel) would normalise each device's part by itself.
"""

from collections.abc import Callable, Mapping
from typing import Any

import jax
import numpy as np
from jax.sharding import AxisType, Mesh, NamedSharding, PartitionSpec

# On CPUs XLA drops optimisation barriers early, and then finds that what `jax.checkpoint` is to compute a second time
# is there already. With barriers that stay, programs need less memory, as they do on GPUs and TPUs.
KEEP_BARRIERS: dict[str, str | bool] = {"xla_disable_hlo_passes": "cse_barrier_expander"}


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


def compile_step(step: Callable[..., Any], mesh: Mesh, donated: tuple[int, ...] = ()) -> jax.stages.Wrapped:
    """`jax.jit` of a step: inputs stay where they were placed, outputs are replicated.

    Args:
      step: positional arguments only.
      mesh: made by `data_mesh`.
      donated: positions of the states. Their memory is reused for the new states, so the caller must not read the old
        ones again. Batches are not donated: no output of a step has their shape.
    """
    return jax.jit(
        step, donate_argnums=donated, out_shardings=replicated(mesh), compiler_options=compiler_options(mesh)
    )


def compiler_options(mesh: Mesh) -> dict[str, str | bool]:
    """What XLA is told for every program on these devices."""
    return KEEP_BARRIERS if mesh.devices.flat[0].platform == "cpu" else {}
