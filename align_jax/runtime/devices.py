"""Does the installed JAX use this machine's accelerator?"""

import glob
import importlib.util
import os
import re
import shutil
import subprocess
from pathlib import Path

import jax

from align_jax.errors import UserError

# nvidia-smi takes seconds where it must first load the driver.
SMI_S = 30
GOOGLE = "0x1ae0"  # the PCI vendor number
# Variables that say which devices a process sees. Without a number or an identifier at their beginning it sees none.
VISIBLE = {
    # NVIDIA_VISIBLE_DEVICES speaks to the runtime of containers: where it hides a GPU, the container has none.
    "cuda": ("CUDA_VISIBLE_DEVICES",),
    "tpu": ("TPU_VISIBLE_CHIPS", "TPU_VISIBLE_DEVICES"),
}
SEEN = re.compile(r"\d|GPU-|MIG-", re.IGNORECASE)


def present_accelerator() -> str | None:
    """The kind of accelerator in this machine, "cuda" or "tpu", whether or not JAX can use it.

    None without one, and where it is hidden on purpose, as by `CUDA_VISIBLE_DEVICES=`.
    """
    if not _hidden("cuda") and _has_nvidia_gpu():
        return "cuda"
    # Newer TPUs appear as plain PCI devices, which Google's vendor number identifies.
    vendors = {Path(path).read_text().strip() for path in glob.glob("/sys/bus/pci/devices/*/vendor")}
    if not _hidden("tpu") and (glob.glob("/dev/accel[0-9]*") or (os.path.exists("/dev/vfio/0") and GOOGLE in vendors)):
        return "tpu"
    return None


def _hidden(kind: str) -> bool:
    return any(variable in os.environ and not SEEN.match(os.environ[variable].strip()) for variable in VISIBLE[kind])


def _has_nvidia_gpu() -> bool:
    """Whether nvidia-smi lists a GPU; without it, whether there is a device file."""
    program = shutil.which("nvidia-smi")
    if program is None:
        return bool(glob.glob("/dev/nvidia[0-9]*"))
    try:
        listed = subprocess.run([program, "-L"], capture_output=True, timeout=SMI_S, check=True)
    except (OSError, subprocess.SubprocessError):  # the driver is broken, or the program was left without one
        return False
    return b"GPU " in listed.stdout


def check_accelerator() -> None:
    """Refuses to train on the CPU of a machine that has an accelerator, unless JAX is asked for it.

    Raises:
      UserError: an accelerator is there, but the installed JAX runs on the CPU only.
    """
    asked = os.environ.get("JAX_PLATFORMS") or os.environ.get("JAX_PLATFORM_NAME")
    if asked or jax.default_backend() != "cpu":
        return
    kind = present_accelerator()
    if kind == "tpu" and importlib.util.find_spec("libtpu") is not None:
        # JAX goes on with the CPU where another process holds the chips.
        raise UserError(
            "This machine has a TPU, and JAX's build for it is installed but cannot use it: most often another process "
            "holds it; find that with `sudo lsof -w /dev/accel* /dev/vfio/*` and end it, or set JAX_PLATFORMS=cpu to "
            "use the CPU (`python -c \"import jax; jax.devices('tpu')\"` says JAX's reason)."
        )
    if kind is not None:
        extra = {"cuda": "cuda13", "tpu": "tpu"}[kind]
        raise UserError(
            f"This machine has an accelerator ({kind}), but the installed JAX {jax.__version__} only runs on the CPU; "
            f"run `pip install 'jax[{extra}]=={jax.__version__}'`, or set JAX_PLATFORMS=cpu to use the CPU."
        )
