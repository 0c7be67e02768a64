"""A round's cost in ERM steps, counted by XLA on the program for ResNet-50 at 224 pixels; nothing is run."""

from benchmarks.flops import flops


def test_what_an_update_costs():
    counts = flops()
    erm = counts["ERM step"]
    assert counts["guided classifier step, no mixup"] <= 1.1 * erm
    assert counts["round, no mixup"] <= 2.7 * erm
    assert counts["round, with mixup"] <= 3.7 * erm
    # Lest the count leave something out: a masked batch is two forward and two half backward passes.
    assert counts["masker step"] >= 1.2 * erm
