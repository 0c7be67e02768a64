"""The speed benchmarks: what they read, what they count, and the process they are compared with."""

import sys

import jax
import jax.numpy as jnp
import pytest
from jax import lax

from align_jax.errors import UserError
from benchmarks.convolutions import shapes_of
from benchmarks.operations import KINDS, OTHER, kinds_of
from benchmarks.peer import Peer
from benchmarks.updates import Setting, table


def test_a_setting_is_a_network_its_pixels_and_its_images():
    assert Setting.parsed("resnet18:64:32") == Setting("resnet18", 64, 32)


@pytest.mark.parametrize("text", ["resnet18", "resnet19:64:32", "resnet18:64:0", "resnet18:64:-1", "resnet18:a:32"])
def test_what_is_no_setting_is_answered_with_an_example(text):
    with pytest.raises(UserError, match=r"resnet18:64:32.*resnet_small"):
        Setting.parsed(text)
    with pytest.raises(UserError, match=r"resnet18:64:32.*resnet_small"):
        next(shapes_of(text))


@pytest.mark.parametrize(("setting", "number"), [("resnet18:64:3", 20), ("resnet50:64:3", 53), ("masker:64:3", 7)])
def test_all_convolutions_of_a_network_are_found(setting, number):
    shapes = list(shapes_of(setting))
    assert len(shapes) == number
    assert {x[0] for x, _, _ in shapes} == {3}
    assert all(x[1:3] == geometry.image and w[:2] == geometry.kernel for x, w, geometry in shapes)


def test_the_kind_of_an_operation_is_what_its_computation_has():
    @jax.jit
    def program(x, w):
        image = lax.conv_general_dilated(x, w, (1, 1), "SAME", dimension_numbers=("NHWC", "HWIO", "NHWC"))
        return jnp.tanh(x.reshape(32, 32) @ x.reshape(32, 32)), image.max((1, 2))

    text = program.lower(jnp.ones((1, 16, 16, 4)), jnp.ones((3, 3, 4, 8))).compile().as_text()
    kinds = kinds_of(text)
    assert {"convolutions", "matmuls", "sums", OTHER} <= set(kinds.values()) <= {*KINDS, OTHER}


STUB = """
import sys
print("first\\tsecond", flush=True)
for line in sys.stdin:
    print({"first": "0.5", "second": "nothing"}[line.strip()], flush=True)
"""


def test_the_peer_answers_with_seconds(tmp_path):
    program = tmp_path / "stub.py"
    program.write_text(STUB)
    peer = Peer(sys.executable, program, (), "nothing")
    try:
        assert peer.names == ["first", "second"]
        assert peer.seconds("first") == 0.5
        with pytest.raises(UserError, match="something else than seconds at 'second'"):
            peer.seconds("second")
    finally:
        peer.close()


def test_a_peer_that_cannot_run_is_named(tmp_path):
    with pytest.raises(UserError, match="cannot be run"):
        Peer(str(tmp_path / "python"), tmp_path / "stub.py", (), "torch")
    with pytest.raises(UserError, match=r"ended early; does --peer-python have torch\?"):
        Peer(sys.executable, tmp_path / "missing.py", (), "torch")


def test_the_table_shows_what_was_measured():
    row = {"network": "resnet18", "size": 64, "batch": 32, "update": "ERM", "ms": 200.4, "share_of_peak": 0.623}
    assert table([row]).splitlines() == [
        "| | update | ms | share of peak |",
        "|---|---|---|---|",
        "| resnet18, 64 px, 32 images | ERM | 200 | 0.62 |",
    ]
