"""The updates, compiled by the TPU's own compiler for a slice of eight chips. No TPU is needed, and nothing is run.

`make tpu-compiler` installs libtpu beside the tests and runs them.
"""

import jax
import numpy as np
import pytest
from jax.experimental import topologies

from tests.mesh_programs import check

pytestmark = pytest.mark.tpu_compiler


@pytest.fixture(scope="module")
def slice_of_eight():
    pytest.importorskip("libtpu", reason="make tpu-compiler installs it")
    devices = topologies.get_topology_desc(platform="tpu", topology_name="v5e:2x4").devices
    return jax.sharding.Mesh(np.array(devices), ("data",), axis_types=(jax.sharding.AxisType.Auto,))


@pytest.mark.parametrize("name", ["erm", "masker", "dre", "align"])
def test_an_update_sends_its_gradients_once(slice_of_eight, name):
    check(slice_of_eight, (name,), passes_apart=False)
