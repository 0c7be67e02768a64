"""What updates need, by XLA's analysis of programs that are compiled and not run."""

import pytest

from benchmarks import memory
from benchmarks.memory import SIZES, UPDATES, Variant, needed

# The small network as in the quickstart: one where images, and not parameters, take the memory.
NAME, (SIZE, BATCH) = "resnet_small", SIZES["resnet_small"]


@pytest.fixture(scope="module")
def erm():
    return needed("ERM", NAME, SIZE, BATCH, Variant())


def test_a_round_needs_at_most_1_6_times_what_an_erm_step_needs(erm):
    """Neither do the phases overlap, nor does the mixed pass keep as much as the clean one."""
    assert needed("ALIGN round", NAME, SIZE, BATCH, Variant()) <= 1.6 * erm


def test_remat_and_micro_batches_need_less(erm):
    assert needed("ERM", NAME, SIZE, BATCH, Variant(remat=True)) < 0.75 * erm
    assert needed("ERM", NAME, SIZE, BATCH, Variant(accumulate=4)) < 0.6 * erm


def test_the_table(monkeypatch, capsys):
    monkeypatch.setattr(memory, "needed", lambda update, *_: 2**20 * (1 + UPDATES.index(update)))
    monkeypatch.setattr("sys.argv", ["memory", "--networks=resnet18", "--dtypes=bfloat16", "--accumulate=4"])
    assert memory.main() == 0
    lines = capsys.readouterr().out.splitlines()
    assert lines[2:] == [
        f"| resnet18, 128, 32 | bfloat16 | 4 | {remat} | 1 (1.00) | 2 (2.00) | 3 (3.00) | 4 (4.00) |"
        for remat in ("off", "on")
    ]
    monkeypatch.setattr("sys.argv", ["memory", "--updates=SGD"])
    assert memory.main() == 2
    assert "--updates has 'SGD'; choose from ERM, DRE, masker, ALIGN round." in capsys.readouterr().err
