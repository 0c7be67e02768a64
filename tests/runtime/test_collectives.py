"""What an update sends between devices: its gradients in one group, and for mixup the images as they are stored.

Compiled for CPUs, the gradients of the clean and of the mixed pass are summed over the devices one by one, side by side
in the group. The TPU's compiler adds them up before, which `test_tpu_compiler.py` holds.
"""

import pytest

from ..virtual_devices import run_on_eight_devices

PROGRAM = """
from align_jax.runtime.sharding import data_mesh
from tests.mesh_programs import check

mesh = data_mesh()
assert mesh.size == 8
check(mesh, {names}, passes_apart=True)
print("same")
"""


@pytest.mark.parametrize("names", [("erm", "masker"), ("dre",), ("align",)], ids=", ".join)
def test_an_update_sends_its_gradients_and_little_else(names):
    run_on_eight_devices(PROGRAM.format(names=names))
