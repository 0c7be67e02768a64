"""The forms of L_egl: their values by NumPy, their gradients at the edges, their maps, and the runs of the study."""

import argparse
import csv
import inspect
import io
import json
import subprocess
import sys
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import saliency
from align_jax.algorithms import ALGORITHMS
from align_jax.models.resnet import resnet
from align_jax.networks import classifier_from_linen
from align_jax.steps import ClassifierUpdate, classifier_step
from experiments.guidance_forms.forms import FORMS
from experiments.guidance_forms.maps import (
    NETWORK,
    STAGE,
    MapsForward,
    WithMaps,
    contributions,
    from_stage,
    up_to_stage,
)
from experiments.guidance_forms.method import ALGORITHM, NAME, classifier_objective
from experiments.guidance_forms.plan import CEILING, ERM, ROWS, cell
from experiments.guidance_forms.tables import as_csv, complete_runs, table
from tests.finished_run import BARE
from tests.small_networks import small_batch, small_state, small_updates

ROOT = Path(__file__).parents[2]
EXAMPLES, CLASSES, SIDE = 3, 4, 4


def random_maps(seed=0):
    """A map for each class and example, and masks of twice its side."""
    generator = np.random.default_rng(seed)
    maps = generator.normal(size=(EXAMPLES, CLASSES, SIDE, SIDE)).astype(np.float32)
    return maps, generator.uniform(size=(EXAMPLES, 2 * SIDE, 2 * SIDE, 1)).astype(np.float32)


def less_mean(maps):
    return maps - maps.mean(1, keepdims=True)


def on_grid(mask):
    return mask.reshape(EXAMPLES, SIDE, 2, SIDE, 2).mean((2, 4))


def value(form, maps, mask):
    """A form's value, whichever maps it reads: the label is class 0."""
    first = jnp.asarray(maps)[:, 0]
    known = {
        "mask": jnp.asarray(mask),
        "saliency": saliency.normalise_minmax(first),
        "label_map": first,
        "earlier_label_map": first,
        "evidence": less_mean(jnp.asarray(maps)),
        "earlier_evidence": less_mean(jnp.asarray(maps)),
    }
    return FORMS[form](**{name: known[name] for name in inspect.signature(FORMS[form]).parameters})


# ---- values ----------------------------------------------------------------------------------------------------------


def share_beside(maps, mask):
    positive = np.maximum(maps, 0)
    return 1 - (positive * on_grid(mask)[:, None]).sum((1, 2, 3)) / positive.sum((1, 2, 3))


def cross_entropy_of_maps(probability, target):
    return -(target * np.log(probability) + (1 - target) * np.log(1 - probability)).mean((1, 2))


def by_numpy(form, maps, mask):
    """Each form by its definition, in float64."""
    maps, mask = maps.astype(np.float64), mask.astype(np.float64)
    low, high = (bound(maps[:, 0], axis=(1, 2), keepdims=True) for bound in (np.min, np.max))
    scaled = np.clip((maps[:, 0] - low) / (high - low), 1e-6, 1 - 1e-6)
    if form in ("bce", "earlier_bce"):
        return cross_entropy_of_maps(scaled, on_grid(mask))
    if form == "bce_without_normalisation":
        return cross_entropy_of_maps(1 / (1 + np.exp(-SIDE * SIDE * maps[:, 0])), on_grid(mask))
    if form == "energy":
        return share_beside(maps[:, :1], mask)
    if form in ("energy_of_all_classes", "earlier_energy"):
        return share_beside(less_mean(maps), mask)
    assert form in ("evidence_in_sum", "earlier_evidence_in_sum")
    return ((less_mean(maps) * (1 - on_grid(mask))[:, None]).sum((2, 3)) ** 2).mean(1)


@pytest.mark.parametrize("form", FORMS)
def test_each_form_has_the_value_of_its_definition(form):
    maps, mask = random_maps()
    maps = maps / 10  # so that no sigmoid is clipped
    np.testing.assert_allclose(value(form, maps, mask), by_numpy(form, maps, mask), rtol=1e-4)


def test_the_energy_is_the_share_beside_and_evidence_that_cancels_has_no_sum():
    mask = jnp.zeros((1, 2, 2, 1)).at[0, 0, 0].set(1.0)
    label_map = jnp.array([[[3.0, 1.0], [-5.0, 0.0]]])
    np.testing.assert_allclose(FORMS["energy"](label_map, mask), [0.25])
    evidence = jnp.stack([label_map[0], -label_map[0]])[None]
    np.testing.assert_allclose(FORMS["evidence_in_sum"](evidence, mask), [16.0])  # (1 - 5 + 0)^2
    cancels = evidence.at[0, :, 1, 0].set(jnp.array([-1.0, 1.0]))
    np.testing.assert_allclose(FORMS["evidence_in_sum"](cancels, mask), [0.0])
    assert float(FORMS["energy_of_all_classes"](cancels, mask)[0]) > 0


def test_the_share_of_what_is_positive_is_the_share_of_what_is_not_zero():
    maps, mask = random_maps()
    less_mean = maps - maps.mean(1, keepdims=True)
    np.testing.assert_allclose(
        value("energy_of_all_classes", maps, mask), share_beside(abs(less_mean), mask), rtol=1e-5
    )


# ---- gradients -------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("form", FORMS)
def test_values_and_gradients_are_finite_at_the_edges(form):
    maps, mask = random_maps()
    for scale in (0.0, 1e-30, 1.0, 1e4):
        for target in (np.zeros_like(mask), np.ones_like(mask), mask):
            found, gradient = jax.value_and_grad(lambda maps, target=target: value(form, maps, target).sum())(
                jnp.asarray(scale * maps)
            )
            assert np.isfinite(found)
            assert np.isfinite(gradient).all()
    flat = jnp.ones_like(maps)
    assert np.isfinite(jax.grad(lambda maps: value(form, maps, mask).sum())(flat)).all()


@pytest.mark.parametrize("form", FORMS)
def test_a_form_moves_maps_and_not_masks(form):
    maps, mask = random_maps()
    moved = jax.grad(lambda maps: value(form, maps, mask).sum())(jnp.asarray(maps))
    assert (moved != 0).any()
    assert (jax.grad(lambda mask: value(form, maps, mask).sum())(jnp.asarray(mask)) == 0).all()


# ---- maps ------------------------------------------------------------------------------------------------------------


def test_contributions_sum_to_the_logits_less_the_bias():
    generator = np.random.default_rng(0)
    features = jnp.asarray(generator.normal(size=(EXAMPLES, 5, 5, 6)), jnp.float32)
    weights, bias = (jnp.asarray(generator.normal(size=shape), jnp.float32) for shape in ((6, CLASSES), (CLASSES,)))
    found = contributions(lambda h: h.mean((1, 2)) @ weights + bias, features)
    np.testing.assert_allclose(found.sum((2, 3)), less_mean(features.mean((1, 2)) @ weights), rtol=1e-4, atol=1e-5)


def test_the_earlier_map_and_the_rest_of_the_network_are_the_network_as_in_evaluation():
    module = resnet(NETWORK, CLASSES)
    classifier = classifier_from_linen(module)
    image = jnp.asarray(np.random.default_rng(0).normal(size=(2, 32, 32, 3)), jnp.float32)
    params, batch_stats = jax.jit(classifier.init)(jax.random.key(0), image)
    # Other statistics than those of a new network, so that it matters which are used.
    batch_stats = jax.tree.map(lambda values: values + 0.1, batch_stats)
    variables = {"params": params, "batch_stats": batch_stats}

    @jax.jit
    def both():
        features = module.apply(variables, image, STAGE, method=up_to_stage)
        logits = module.apply(variables, features, STAGE, method=from_stage)
        return features, logits, classifier.logits(params, batch_stats, image)

    features, logits, expected = both()
    assert features.shape == (2, 8, 8, 32)
    np.testing.assert_allclose(logits, expected, rtol=1e-5, atol=1e-5)


# ---- training --------------------------------------------------------------------------------------------------------


def test_the_forms_are_trained_after_warm_up_and_need_no_mask_before():
    classifier, _ = small_updates()
    guided = ClassifierUpdate(classifier.network, classifier_objective(form="evidence_in_sum"), classifier.optimizer)
    warmup = guided._replace(objective=guided.objective.without(*ALGORITHM.guided_terms))
    assert isinstance(warmup.objective, WithMaps)
    state, batch, key = small_state(guided), small_batch(), jax.random.key(0)
    step = jax.jit(
        lambda update_state: (
            classifier_step(guided, update_state, batch, key, lambda batch: batch["mask"]),
            classifier_step(warmup, update_state, batch, key),
        )
    )
    (new_state, metrics), (_, of_warmup) = step(state)
    assert metrics.keys() - of_warmup.keys() == {"egl"}
    assert float(metrics["cls"].value()) == pytest.approx(float(of_warmup["cls"].value()))
    network = classifier.network
    features, _ = network.features(state.params, state.batch_stats, batch["image"], True, key)
    maps = saliency.evidence(lambda h: network.head(state.params, h), features)
    expected = FORMS["evidence_in_sum"](maps, batch["mask"]).mean()
    assert float(metrics["egl"].value()) == pytest.approx(float(expected), rel=1e-4)
    assert any(map(jnp.any, jax.tree.leaves(jax.tree.map(jnp.subtract, new_state.batch_stats, state.batch_stats))))


def test_a_form_reads_what_a_forward_pass_with_maps_has():
    quantities = {name for name, entry in vars(MapsForward).items() if not name.startswith("_")}
    for form in FORMS.values():
        assert set(inspect.signature(form).parameters) <= quantities | {"saliency", "evidence", "mask"}


# ---- which runs ------------------------------------------------------------------------------------------------------


def test_every_run_is_there_once_with_a_config_that_works(monkeypatch, tmp_path):
    from experiments.guidance_forms.__main__ import plan

    monkeypatch.setitem(ALGORITHMS, NAME, ALGORITHM)
    sweep = plan(argparse.Namespace(workdir=tmp_path, jobs=1, prepared="data"))
    assert len({run.path for run in sweep.cells}) == len(ROWS) == len({row.name for row in ROWS})
    assert {row.form for row in ROWS if row.form} == set(FORMS)
    assert dict(cell(CEILING).overrides)["data.correlation"] == "0"
    assert dict(cell(ERM).overrides)["data.correlation"] == "0.7"


def test_a_run_knows_the_method(tmp_path):
    command = [sys.executable, "-m", "experiments.guidance_forms.train", "--config=configs/quickstart.py",
               f"--workdir={tmp_path / 'run'}", f"--config.algorithm={NAME}", f"--config.{NAME}.form=dice"]  # fmt: skip
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 2
    assert f"config.{NAME}.form is 'dice'; it must be one of {', '.join(FORMS)}" in done.stderr + done.stdout


# ---- the table -------------------------------------------------------------------------------------------------------


def write_run(path, accuracies, gaps, right_on_conflicting):
    """A complete run's folder with all that the table reads: eight objects, right on all aligned backgrounds."""
    (path / "report").mkdir(parents=True)
    results = [
        {"domain": domain, "role": role, "split": role, "accuracy": accuracy, "cam_energy": 0.5}
        for (domain, role), accuracy in accuracies.items()
    ]
    arrays = {}
    for role, right in (("aligned", np.ones(8)), ("conflicting", right_on_conflicting)):
        objects = np.array([f"object{number}" for number in range(8)])
        fields = {"probabilities": np.stack([right, 1 - right], 1), "label": np.zeros(8, int), "object": objects,
                  "concept": np.arange(8) // 2, "id": np.char.add(f"{role}_", objects)}  # fmt: skip
        arrays |= {f"noto/{role}/{name}": values for name, values in fields.items()}
    np.savez(path / "predictions.npz", **arrays)
    (path / "config.json").write_text("{}")
    (path / "summary.json").write_text(json.dumps(BARE | {"results": results, "background_gaps": gaps}))
    (path / "report" / "index.html").write_text("")


def test_the_table_has_the_complete_runs_in_order_with_means_over_vendors(tmp_path):
    accuracies = {("noto", "id"): 0.9, ("noto", "background_shift"): 0.6, ("openmoji", "background_shift"): 0.7,
                  ("twemoji", "ood"): 0.5, ("noto", "aligned"): 1, ("noto", "conflicting"): 0.45}  # fmt: skip
    gaps = [{"domain": "noto", "role": "id", "gap": 0.25, "flips": 0.3, "flips_standard_error": 0.01}]
    for row, right in ((ROWS[2], np.ones(8)), (ERM, np.arange(8) % 2)):
        write_run(tmp_path / cell(row).path, accuracies, gaps, right)
    results = complete_runs(tmp_path)
    assert [result.row for result in results] == [ERM, ROWS[2]]
    found = table(results)
    texts = {column.title: entry.text for column, entry in zip(found.columns, found.rows[0].cells, strict=True)}
    assert (texts["random, %"], texts["gap"], texts["flips, %"]) == ("65.0", "25.0", "30.0")
    assert (texts["conflicting, %"], texts["neutral, %"], texts["CAM energy"]) == ("45.0", "–", "0.50")
    gaps_less_erm = [(row.cells[-1].value, row.cells[-1].interval) for row in found.rows]
    assert gaps_less_erm[1] == ("-50.0", "")
    assert gaps_less_erm[0] != gaps_less_erm[1]
    lines = list(csv.DictReader(io.StringIO(as_csv(results))))
    assert len(lines) == 2 * len(accuracies)
    guided = next(line for line in lines if line["form"] and line["role"] == "id")
    assert (guided["form"], guided["weight"], guided["flips_standard_error"]) == (
        ROWS[2].form,
        ROWS[2].weight,
        "0.01000",
    )
