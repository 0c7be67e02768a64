"""The speed benchmarks: what they read, what they count, and the process they are compared with."""

import sys

import pytest

from align_jax.errors import UserError
from benchmarks.convolutions import shapes_of
from benchmarks.four_updates import FourUpdates
from benchmarks.operations import KINDS, OTHER, kinds_of, traced
from benchmarks.peer import Peer
from benchmarks.updates import Row, Setting, table


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


PROGRAM = """
HloModule example

%fused (a: f32[4,4]) -> f32[4,4] {
  %a = f32[4,4]{1,0} parameter(0)
  ROOT %inside = f32[4,4]{1,0} convolution(%a, %a), window={size=1}
}

%turned (a: f32[4,4]) -> (f32[4,4], f32[4]) {
  %a.1 = f32[4,4]{1,0} parameter(0)
  %t = f32[4,4]{0,1} transpose(%a.1), dimensions={1,0}
  ROOT %both = (f32[4,4]{0,1}, f32[4]{0}) tuple(%t, %t)
}

ENTRY %main (x: f32[4,4]) -> f32[4,4] {
  %x = f32[4,4]{1,0} parameter(0)
  %conv_fusion = f32[4,4]{1,0} fusion(%x), kind=kCustom, calls=%fused
  %six = (f32[4,4]{0,1}, f32[4]{0}, f32[4]{0}, f32[4]{0}, f32[4]{0}, /*index=5*/f32[4]{0}) fusion(%x), calls=%turned
  %matmul = f32[4,4]{1,0} dot(%x, %conv_fusion), lhs_contracting_dims={1}
  %loop = f32[4,4]{1,0} while(%x), body=%fused
  %most = f32[4]{0} reduce(%x, %x), dimensions={1}, to_apply=%fused
  ROOT %tanh.2 = f32[4,4]{1,0} tanh(%matmul)
}
"""


def test_the_kind_of_an_operation_is_what_its_computation_has():
    kinds = kinds_of(PROGRAM)
    assert "loop" not in kinds
    expected = {"conv_fusion": "convolutions", "six": "copies in another order", "matmul": "matmuls"}
    expected |= {"most": "sums and maxima", "tanh.2": OTHER}
    assert {name: kinds[name] for name in expected} == expected
    assert set(expected.values()) == {*KINDS, OTHER}


def test_a_trace_has_all_kinds_of_time():
    updates = FourUpdates("resnet_small")
    row = Row(Setting("resnet_small", 16, 2), "ERM", updates.by_name["ERM"], updates.first(16, 2))
    by_kind = traced(row, 1)
    assert set(by_kind) <= {*KINDS, OTHER}
    assert by_kind["matmuls"] > 0  # which convolutions of small maps are made of
    assert by_kind[OTHER] > 0


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
