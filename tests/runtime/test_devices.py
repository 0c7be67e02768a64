"""An accelerator that JAX cannot use is named; one that is hidden on purpose, or is not there, is not."""

import pytest

from align_jax.errors import UserError
from align_jax.runtime import devices
from align_jax.runtime.devices import check_accelerator, present_accelerator


@pytest.fixture
def machine(monkeypatch, tmp_path):
    """A machine on which JAX uses the CPU, with the device files that the test lists."""
    for variable in ("JAX_PLATFORMS", "JAX_PLATFORM_NAME", *sum(devices.VISIBLE.values(), ())):
        monkeypatch.delenv(variable, raising=False)
    monkeypatch.setattr(devices.jax, "default_backend", lambda: "cpu")
    monkeypatch.setenv("PATH", str(tmp_path))
    files = []
    monkeypatch.setattr(devices.glob, "glob", lambda pattern: [file for file in files if file[:-1] in pattern])
    return files


def write_smi(folder, script):
    (folder / "nvidia-smi").write_text(f"#!/bin/sh\n{script}\n")
    (folder / "nvidia-smi").chmod(0o755)


@pytest.mark.parametrize("value", ["", " ", "-1", "-1,0", "none", "NoDevFiles"])
def test_a_gpu_that_is_hidden_is_not_missed(machine, monkeypatch, value):
    machine.append("/dev/nvidia0")
    assert present_accelerator() == "cuda"
    monkeypatch.setenv("CUDA_VISIBLE_DEVICES", value)
    assert present_accelerator() is None
    check_accelerator()


@pytest.mark.parametrize(
    ("variable", "value"),
    [
        *(("CUDA_VISIBLE_DEVICES", value) for value in ("0", "1,0", "GPU-8932f937", "MIG-GPU-8932f937/1/2")),
        # A container's, which says void where the devices are given in another way.
        *(("NVIDIA_VISIBLE_DEVICES", value) for value in ("all", "void", "")),
    ],
)
def test_a_gpu_that_is_chosen_is_missed(machine, monkeypatch, variable, value):
    machine.append("/dev/nvidia0")
    monkeypatch.setenv(variable, value)
    with pytest.raises(UserError, match=r"accelerator \(cuda\)"):
        check_accelerator()


def test_a_tpu_that_is_hidden_is_not_missed(machine, monkeypatch):
    machine.append("/dev/accel0")
    assert present_accelerator() == "tpu"
    for variable in devices.VISIBLE["tpu"]:
        with monkeypatch.context() as context:
            context.setenv(variable, "")
            assert present_accelerator() is None


@pytest.mark.parametrize("variable", ["JAX_PLATFORMS", "JAX_PLATFORM_NAME"])
def test_who_asks_for_the_cpu_gets_it(machine, monkeypatch, variable):
    machine.append("/dev/nvidia0")
    monkeypatch.setenv(variable, "cpu")
    check_accelerator()
    monkeypatch.setenv(variable, "")
    with pytest.raises(UserError, match="set JAX_PLATFORMS=cpu to use the CPU"):
        check_accelerator()


@pytest.mark.parametrize(
    ("script", "kind"),
    [
        ("echo 'GPU 0: NVIDIA H100 (UUID: GPU-1)'", "cuda"),
        ("echo 'No devices found.'", None),
        ("echo 'NVIDIA-SMI has failed because it could not communicate with the NVIDIA driver.'; exit 9", None),
        ("echo 'GPU 0: half a driver'; exit 1", None),
        ("kill -9 $$", None),
    ],
)
def test_nvidia_smi_must_list_a_gpu(machine, tmp_path, script, kind):
    write_smi(tmp_path, script)
    assert present_accelerator() == kind
    machine.append("/dev/nvidia0")
    assert present_accelerator() == kind


def test_an_nvidia_smi_that_hangs_or_is_no_program_is_no_gpu(machine, tmp_path, monkeypatch):
    monkeypatch.setattr(devices, "SMI_S", 0.2)
    write_smi(tmp_path, "exec /bin/sleep 60")
    assert present_accelerator() is None
    (tmp_path / "nvidia-smi").write_bytes(b"\x7fELF nonsense")
    assert present_accelerator() is None
