"""The compiled programs have the paper's names, and the names change nothing that is computed."""

import contextlib
import functools
import re

import jax

from align_jax.evaluation.evaluator import Evaluator
from align_jax.runtime.sharding import data_mesh
from align_jax.steps import align_round
from tests.small_networks import small_batch, small_states, small_updates
from tests.tiny_config import get_config

KEY = jax.random.key(7)


def lowered_round():
    """ALIGN's round on the small networks; nothing is compiled."""
    classifier, masker = small_updates()
    states = jax.eval_shape(lambda: small_states(classifier, masker))
    step = functools.partial(align_round, classifier, masker)
    return jax.jit(step).lower(*states, [small_batch(size=6)], KEY)


def scopes(lowered):
    """The paths of a lowered program's operations, without what differentiation adds to them."""
    paths = re.findall(r'loc\("([^"]*)"', lowered.as_text(debug_info=True))
    return {re.sub(r"jvp\(([^()]*)\)|transpose\(jvp\(([^()]*)\)\)", r"\1\2", path) for path in paths}


def test_a_round_reads_like_the_paper():
    found = scopes(lowered_round())
    for part in (
        *("masker/mask", "masker/frozen_classifier", "masker/distinction", "masker/sparsity", "masker/smoothness"),
        *("masker/optimizer", "classifier/mask", "classifier/clean", "classifier/mixed", "classifier/mixup"),
        *("classifier/saliency", "classifier/cls", "classifier/egl", "classifier/consistency", "classifier/optimizer"),
    ):
        assert any(f"/{part}/" in path for path in found), part
    # Quantities that several terms read belong to none of them.
    assert not any("/egl/saliency" in path or "/cls/clean" in path for path in found)


def test_evaluation_reads_like_its_parts():
    config = get_config()
    classifier, masker = small_updates()
    evaluator = Evaluator((classifier.network, masker.network), data_mesh(), config)
    states = jax.eval_shape(lambda: small_states(classifier, masker))
    shapes = {"image": ((4, 16, 16, 3), "uint8"), "mask": ((4, 16, 16, 1), "uint8"), "label": ((4,), "int32")}
    batch = {name: jax.ShapeDtypeStruct(*shape) for name, shape in shapes.items()}
    found = scopes(evaluator._scores.lower(states, batch))
    for part in ("data/", "evaluation/classifier/", "evaluation/saliency/", "evaluation/mask/"):
        assert any(f"/{part}" in path for path in found), part


def test_names_change_nothing_that_is_computed(monkeypatch):
    """So neither the numbers nor JAX's cache of compiled programs depend on them."""
    named = lowered_round()
    monkeypatch.setattr(jax, "named_scope", lambda name: contextlib.nullcontext())
    nameless = lowered_round()
    assert any("/masker/" in path for path in scopes(named))
    assert not any("/masker/" in path for path in scopes(nameless))
    assert named.as_text() == nameless.as_text()
