"""Settings of the whole test session, made before anything imports JAX."""

import os
import tempfile
from pathlib import Path

import pytest

FAST_TO_COMPILE = "--xla_backend_optimization_level=0"
CACHE = Path(__file__).parents[1] / ".pytest_cache" / "jax"

# Tests compile the same small programs again and again, in many processes: each is compiled once.
os.environ.setdefault("JAX_COMPILATION_CACHE_DIR", str(CACHE))
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_COMPILE_TIME_SECS", "0")
os.environ.setdefault("JAX_PERSISTENT_CACHE_MIN_ENTRY_SIZE_BYTES", "-1")
# Nearly all programs of the tests run for a moment: LLVM would optimise them for longer than that. XLA's own passes are
# the same. `XLA_FLAGS=--xla_backend_optimization_level=3 make test` compiles as users do; the last flag counts.
os.environ["XLA_FLAGS"] = f"{FAST_TO_COMPILE} {os.environ.get('XLA_FLAGS', '')}".strip()
# Tests run on the CPU, whatever accelerator the machine has.
os.environ.setdefault("JAX_PLATFORMS", "cpu")

# JAX writes an entry in place, and whoever reads it then has half of it. So each process of `pytest -n` has its own.
if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ["JAX_COMPILATION_CACHE_DIR"] += f"/{os.environ['PYTEST_XDIST_WORKER']}"


@pytest.fixture(scope="session", autouse=True)
def _temporary_files(tmp_path_factory):
    """What libraries leave behind, such as TFDS for each builder, lies where pytest removes it."""
    folder = str(tmp_path_factory.mktemp("temporary"))
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("TMPDIR", folder)
        patch.setattr(tempfile, "tempdir", folder)
        yield


@pytest.fixture(scope="session")
def trained_run(tmp_path_factory):
    """A complete run of four steps, with checkpoints and evaluations after two and four; tests change copies of it."""
    from align_jax.training import train_and_evaluate
    from tests.tiny_config import four_steps

    run = tmp_path_factory.mktemp("runs") / "run"
    train_and_evaluate(four_steps(), run)
    return run
