"""Paired differences: zero for the same predictions, wide when a few concepts decide, and only for the same images."""

import numpy as np
import pytest

from align_jax.errors import UserError
from align_jax.reporting.paired import accuracy_difference, accuracy_standard_error, difference_sentences
from align_jax.runs.read import Result
from tests.finished_run import bare_run


def make_run(path, algorithm, right, identity=None):
    """Two out-of-distribution domains of 40 images, 4 of each of 10 concepts; `right` [80] says which are predicted."""
    path.mkdir()
    arrays = {}
    for number, domain in enumerate(("x", "y")):
        part = slice(40 * number, 40 * number + 40)
        arrays |= {
            f"{domain}/test/probabilities": np.eye(2)[np.where(right[part], 1, 0)],
            f"{domain}/test/label": np.ones(40, int),
            f"{domain}/test/concept": np.repeat([f"c{i}" for i in range(10)], 4),
            f"{domain}/test/id": np.array([f"{domain}{i}" for i in range(40)] if identity is None else identity[part]),
        }
    np.savez(path / "predictions.npz", **arrays)
    return bare_run(path, algorithm, [Result(domain, "ood", "test", None, {}, {}) for domain in ("x", "y")])


def test_the_same_predictions_do_not_differ(tmp_path):
    right = np.random.default_rng(0).random(80) < 0.7
    first, second = make_run(tmp_path / "a", "align", right), make_run(tmp_path / "b", "erm", right)
    difference = accuracy_difference(first, second, "ood")
    assert (difference.difference, difference.standard_error) == (0, 0)


def test_the_difference_and_its_sentence(tmp_path):
    wrong = np.zeros(80, bool)
    better = wrong.copy()
    better[::4] = True  # one image of every concept in both domains
    first, second = make_run(tmp_path / "a", "align", better), make_run(tmp_path / "b", "erm", wrong)
    difference = accuracy_difference(first, second, "ood")
    assert difference.difference == 0.25
    assert difference.standard_error == pytest.approx(0, abs=1e-12)  # every draw of concepts gives the same
    (sentence,) = difference_sentences({"ALIGN": first, "ERM": second}, "ERM")
    assert "ALIGN minus ERM" in sentence
    assert "+25.0 [+25.0, +25.0]" in sentence


def test_errors_are_over_concepts_that_domains_share(tmp_path):
    """All that decides is the concept: eighty images, but ten draws."""
    run = make_run(tmp_path / "a", "align", np.tile(np.repeat(np.arange(10) % 2 == 0, 4), 2))
    assert accuracy_standard_error(run, "ood") == pytest.approx(np.sqrt(0.25 / 10), rel=0.1)


def test_other_images_are_not_compared(tmp_path):
    right = np.ones(80, bool)
    first = make_run(tmp_path / "a", "align", right)
    second = make_run(tmp_path / "b", "erm", right, identity=[f"other{i}" for i in range(80)])
    assert accuracy_difference(first, second, "ood") is None
    assert difference_sentences({"ALIGN": first, "ERM": second}, "ERM") == []
    assert accuracy_standard_error(first, "id") is None


def test_a_broken_file_is_named(tmp_path):
    run = make_run(tmp_path / "a", "align", np.ones(80, bool))
    (run.path / "predictions.npz").write_bytes(b"no archive")
    with pytest.raises(UserError, match=r"predictions.npz is broken"):
        accuracy_standard_error(run, "ood")
