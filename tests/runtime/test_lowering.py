"""The programs of a ResNet-50 at 224 pixels lower for TPUs and NVIDIA GPUs, on a machine that has neither.

Lowering is what JAX itself does, up to XLA's input. What the accelerator's compiler makes of it is not seen here.
"""

import re

import jax
import pytest
from jax import export

from align_jax.evaluation.evaluator import Evaluator
from align_jax.runtime.sharding import data_mesh
from align_jax.training.initial_states import initial_states
from align_jax.training.method import build_method
from align_jax.training.phases import rounds_phase
from align_jax.training.plan import Length, plan
from configs import pacs

BATCH, SIZE, CLASSES, DOMAINS = 12, 224, 7, 3


def lowered(program, dtype, monkeypatch):
    """A program of ALIGN on PACS, in one module for both platforms; nothing is computed."""
    config, mesh = pacs.get_config(), data_mesh()
    config.classifier.dtype = dtype
    assert (config.classifier.name, config.data.image_size) == ("resnet50", SIZE)
    method = build_method(plan(config), CLASSES, DOMAINS, Length(100, 40))
    key = jax.random.key(0)
    # Compiler options are for a program of its own, which is not traced by another one.
    monkeypatch.setattr("align_jax.training.initial_states.compile_step", lambda create, mesh: create)
    states = jax.eval_shape(lambda: initial_states(method, key, mesh, num_classes=CLASSES, image_size=SIZE))
    fields = {"image": ((BATCH, SIZE, SIZE, 3), "uint8"), "label": ((BATCH,), "int32"), "domain": ((BATCH,), "int32")}
    batch = {name: jax.ShapeDtypeStruct(*field) for name, field in fields.items()}
    platforms = ("tpu", "cuda")
    if program == "evaluation":
        evaluator = Evaluator((method.classifier.network, method.masker.network), mesh, config)
        return export.export(evaluator._scores, platforms=platforms)(states, batch)
    phase = rounds_phase(method, *{"masker": (1, 0), "classifier": (0, 1)}[program])
    return export.export(jax.jit(phase.advance, donate_argnums=0), platforms=platforms)(states, (batch,), key)


@pytest.mark.parametrize("dtype", ["float32", "bfloat16"])
@pytest.mark.parametrize(
    "program",
    ["evaluation", *(pytest.param(name, marks=pytest.mark.lowering) for name in ("masker", "classifier"))],
)
def test_it_lowers_for_tpu_and_cuda(program, dtype, monkeypatch):
    exported = lowered(program, dtype, monkeypatch)
    assert exported.platforms == ("tpu", "cuda")
    convolutions = re.findall(
        r"stablehlo\.convolution.*?-> tensor<[\dx]+(f32|bf16)>", exported.mlir_module(), flags=re.DOTALL
    )
    assert len(convolutions) > 50
    # Every convolution is in the data type that was asked for: one that is not takes twice the time or more.
    assert set(convolutions) == {{"float32": "f32", "bfloat16": "bf16"}[dtype]}
    # What is reported and what is kept is float32: losses, scores, parameters.
    floats = {leaf.dtype.name for leaf in exported.out_avals if leaf.dtype.kind in "fV"}
    assert floats == {"float32"}
