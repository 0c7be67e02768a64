"""Does the installed JAX use this machine's accelerator?"""

import glob
import os
import shutil
from pathlib import Path

import jax

from align_jax.errors import UserError

GOOGLE = "0x1ae0"  # the PCI vendor number


def present_accelerator() -> str | None:
    """The kind of accelerator in this machine, "cuda" or "tpu", whether or not JAX can use it; None without one."""
    if glob.glob("/dev/nvidia[0-9]*") or shutil.which("nvidia-smi"):
        return "cuda"
    # Newer TPUs appear as plain PCI devices, which Google's vendor number identifies.
    vendors = {Path(path).read_text().strip() for path in glob.glob("/sys/bus/pci/devices/*/vendor")}
    if glob.glob("/dev/accel[0-9]*") or (os.path.exists("/dev/vfio/0") and GOOGLE in vendors):
        return "tpu"
    return None


def check_accelerator() -> None:
    """Refuses to train on the CPU of a machine that has an accelerator, unless JAX_PLATFORMS asks for it.

    Raises:
      UserError: an accelerator is there, but the installed JAX runs on the CPU only.
    """
    if "JAX_PLATFORMS" in os.environ or jax.default_backend() != "cpu":
        return
    kind = present_accelerator()
    if kind is not None:
        extra = {"cuda": "cuda13", "tpu": "tpu"}[kind]
        raise UserError(
            f"This machine has an accelerator ({kind}), but the installed JAX {jax.__version__} only runs on the CPU; "
            f"run `pip install 'jax[{extra}]=={jax.__version__}'`, or set JAX_PLATFORMS=cpu to use the CPU."
        )
