"""Every source of masks for every method that uses masks, and what is refused before anything runs."""

import dataclasses
import functools
import json

import cv2
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses, saliency
from align_jax.algorithms import ALGORITHMS
from align_jax.data import load
from align_jax.data.images import as_png, decode_mask
from align_jax.data.mask_folder import mask_path, with_masks
from align_jax.data.normalise import normalise
from align_jax.errors import UserError
from align_jax.guidance import GUIDANCES, given_masks, grey_mask, reads_masks
from align_jax.objectives import Sizes
from align_jax.reporting.names import method_name
from align_jax.states import create_classifier_state, create_masker_state
from align_jax.swaps import SwapSettings
from align_jax.training import train_and_evaluate
from align_jax.training.method import build_method
from align_jax.training.phases import rounds_phase, warmup_phase
from align_jax.training.plan import Length, guidance_of, plan
from tests.tiny_config import Squares, get_config, load_squares

TAKE_MASKS = [name for name, algorithm in ALGORITHMS.items() if algorithm.guided_terms]
OWN = {"align": "learned", "background_swap": "learned", "rrr": "true", "gradia": "true", "haics": "true"}
KEY = jax.random.key(0)


def chosen(algorithm, guidance="method", **data):
    config = get_config()
    config.algorithm, config.guidance = algorithm, guidance
    config.schedule.batch_size, config.schedule.length, config.schedule.warmup = 4, 4, 2.0
    config.evaluation.every = config.checkpoint_every = 4
    config.explain.images = config.evaluation.gallery_images = 1
    config.data.update(data)
    return config


@functools.cache
def batch(with_masks=True):
    rows = [Squares(index % 2, 0, 4)[index] for index in range(4)]
    fields = ("image", "label", "domain") + (("mask",) if with_masks else ())
    return {field: jnp.asarray(np.stack([row[field] for row in rows])) for field in fields}


def initial_states(method):
    image = jnp.zeros((1, 32, 32, 3))
    update, masker = method.classifier, method.masker
    carried = update.objective.initial_carried(Sizes(2, 3))
    state = create_classifier_state(update.network, update.optimizer, KEY, image, carried)
    return state, masker and create_masker_state(masker.network, masker.optimizer, KEY, image)


def warms_up(config):
    config.data.mask_folder = "masks"
    return plan(config).warms_up


def built(config, steps, warmup):
    config.data.mask_folder = "masks"
    return build_method(plan(config), 3, 2, Length(steps, warmup))


# ---- one setting for every method ------------------------------------------------------------------------------------


@pytest.mark.parametrize("guidance", ["method", *GUIDANCES])
@pytest.mark.parametrize("name", TAKE_MASKS)
def test_every_source_guides_every_method(name, guidance):
    """Traced, not compiled: which terms a step has, whether a masker is trained, whether the batch's mask is read."""
    config = chosen(name, guidance)
    # Guided terms that have no weight by default.
    config.align.classifier.swapped_cls = config.background_swap.classifier.guidance = 0.5
    resolved = OWN[name] if guidance == "method" else guidance
    assert guidance_of(config) == resolved
    method = built(config, 4, 2)
    states = jax.eval_shape(lambda: initial_states(method))
    assert (method.masker is not None) == (resolved == "learned")
    phase = rounds_phase(method, 1, 1)
    # A step may read the batch's masks only if they come with the data.
    rows = batch(with_masks=reads_masks(resolved))
    (state, _), metrics = jax.eval_shape(phase.advance, states, (rows,), KEY)
    guided = {f"classifier/{term}" for term in ALGORITHMS[name].guided_terms}
    assert guided <= metrics.keys() if resolved != "none" else not guided & metrics.keys()
    assert ("masker/distinction" in metrics) == (resolved == "learned")
    assert jax.tree.structure(state) == jax.tree.structure(states[0])
    # The rounds begin with the state that the warm-up leaves.
    (warm, _), metrics = jax.eval_shape(warmup_phase(method).advance, states, (batch(with_masks=False),), KEY)
    assert not guided & metrics.keys()
    assert jax.tree.structure(warm) == jax.tree.structure(states[0])


def test_every_part_of_background_swap_is_built_from_its_settings():
    config = chosen("background_swap")
    config.background_swap.update_from_flattened_dict(
        {"swap.fill": "blur", "swap.partner": "other_class", "swap.sharpness": 5.0, "masker.growth": 3.0}
    )
    config.align.masker.sparsity, config.align.delay = 0.5, 4
    config.schedule.length, config.schedule.warmup = 16, 6.0
    method = built(config, 16, 6)
    assert method.classifier.swap_settings == SwapSettings("blur", "other_class", 5.0)
    assert method.masker.swap_settings is None
    # Ten steps after warm-up are ten updates of the masker.
    l1 = method.masker.objective.terms["sparsity"].weight
    assert [float(l1(jnp.int32(step))) for step in (0, 5, 10)] == pytest.approx([0.5, 1.0, 1.5])
    weights = {name: weight for name, (_, weight) in method.classifier.objective.terms.items()}
    at = {name: [float(weights[name](jnp.int32(step))) for step in (9, 10)] for name in ("cls", "swapped_cls", "egl")}
    assert at == {"cls": [1, 0], "swapped_cls": [0, 1], "egl": [0, 1]}
    assert {name: weight for name, (_, weight) in method.warmup.objective.terms.items() if weight} == {"cls": 1.0}
    config.background_swap.masker.composites = True
    assert built(config, 16, 6).masker.swap_settings == SwapSettings("blur", "other_class", 5.0)


@pytest.mark.parametrize(
    ("name", "fields", "sentence"),
    [
        ("align", {"align.classifier.cls": 0.0}, "nothing would teach the classes"),
        ("background_swap", {"background_swap.classifier.swapped_cls": 0.0}, "nothing would teach the classes"),
        ("jtt", {"schedule.warmup": 4.0}, "the warm-up has 4 of 4 steps"),
        ("background_swap", {"schedule.warmup": 0.1, "schedule.warmup_unit": "fraction"}, "has 0 of 4 steps"),
        ("align", {"align.delay": 2}, "leaves none of the 2 steps after warm-up to masks"),
    ],
)
def test_settings_under_which_a_part_would_never_act_are_refused(name, fields, sentence):
    config = chosen(name)
    config.update_from_flattened_dict(fields)
    with pytest.raises(UserError, match=sentence):
        plan(config)


def test_guidance_comes_in_over_the_ramp_and_explains_what_is_asked():
    config = chosen("align", "true")
    config.align.ramp, config.align.explained = 4, "log_probability"
    method = built(config, 20, 6)
    weight = method.classifier.objective.terms["egl"].weight
    whole = config.align.classifier.guidance
    assert [float(weight(jnp.int32(step))) for step in (0, 6, 8, 10, 19)] == pytest.approx(
        [0, 0, whole / 2, whole, whole]
    )
    assert method.classifier.saliency_settings.explained == "log_probability"
    config.align.ramp, config.align.explained = 0, "logit"
    method = built(config, 20, 6)
    assert method.classifier.objective.terms["egl"].weight == whole
    assert method.classifier.saliency_settings.explained == "logit"


@pytest.mark.parametrize("guidance", GUIDANCES)
def test_the_masks_that_guide_are_the_ones_named(guidance):
    """One step of HAICS; its term's metric is the alignment with those masks."""
    method = built(chosen("haics", guidance), 4, 0)
    state, masker_state = jax.jit(lambda: initial_states(method))()
    if guidance == "learned":  # Masks far from the 0.5 that they start at, so that it matters whose they are.
        last = jax.tree.map(lambda leaf: 100 * leaf, masker_state.params["mask"])
        masker_state = masker_state.replace(params=masker_state.params | {"mask": last})
    states = (state, masker_state)
    step = jax.jit(rounds_phase(method, 1, 1).advance)
    (after, masker_after), metrics = step(states, (batch(),), KEY)
    assert int(after.step) == 1
    assert all(np.isfinite(leaf).all() for leaf in jax.tree.leaves((after.params, metrics)))
    if guidance == "none":
        assert "classifier/attention" not in metrics
        return
    image = normalise(batch()["image"])
    network = method.classifier.network

    @jax.jit
    def normalised_cam(image, label):
        features, _ = network.features(state.params, state.batch_stats, image, True, KEY)
        return saliency.normalise_minmax(saliency.grad_cam(lambda h: network.head(state.params, h), features, label))

    if guidance == "learned":
        mask, _ = jax.jit(method.masker.network.mask, static_argnums=3)(
            masker_after.params, masker_after.batch_stats, image, False, None
        )
    elif guidance == "grey":
        mask = grey_mask(image)
    else:
        mask = batch()["mask"] / 255
    expected = losses.alignment(normalised_cam(image, batch()["label"]), mask).mean()
    np.testing.assert_allclose(metrics["classifier/attention"].value(), expected, rtol=1e-3)


@pytest.mark.parametrize("name", [name for name in ALGORITHMS if name not in TAKE_MASKS])
def test_other_methods_take_no_masks_whatever_is_set(name):
    for guidance in ("method", *GUIDANCES):
        config = chosen(name, guidance)
        assert (guidance_of(config), warms_up(config)) == ("none", name == "jtt")
    method = built(config, 4, 0)
    assert method.masker is method.given_masks is None


def test_what_comes_after_warm_up_decides_whether_there_is_one():
    assert {name for name in ALGORITHMS if warms_up(chosen(name))} == {"align", "background_swap", "jtt"}
    assert all(warms_up(chosen("align", guidance)) for guidance in GUIDANCES if guidance != "none")
    assert not warms_up(chosen("align", "none"))
    # Without masks, mistakes are redrawn all the same.
    assert warms_up(chosen("background_swap", "none"))


def test_pages_know_every_methods_own_guidance():
    own = {name: algorithm.guidance for name, algorithm in ALGORITHMS.items() if algorithm.guidance != "none"}
    assert own == OWN
    assert list(own) == TAKE_MASKS
    for name in ALGORITHMS:
        assert "," not in method_name(name, guidance_of(chosen(name)))
        if name in TAKE_MASKS:
            assert "grey images" in method_name(name, "grey")


# ---- grey ------------------------------------------------------------------------------------------------------------


def test_grey_masks_are_the_luminance():
    colours = np.array([[0, 0, 0], [255, 255, 255], [255, 0, 0], [0, 255, 0], [0, 0, 255], [128, 128, 128]], np.uint8)
    image = np.broadcast_to(colours[:, None, None], (6, 4, 4, 3))
    mask = grey_mask(normalise(jnp.asarray(image)))
    np.testing.assert_allclose(mask[:, 0, 0, 0], [0, 1, 0.299, 0.587, 0.114, 128 / 255], atol=1e-5)
    assert mask.shape == (6, 4, 4, 1)
    assert 0 <= mask.min() <= mask.max() <= 1
    photograph = np.random.default_rng(0).integers(0, 256, (1, 8, 8, 3), np.uint8)
    expected = cv2.cvtColor(photograph[0], cv2.COLOR_RGB2GRAY) / 255
    np.testing.assert_allclose(grey_mask(normalise(jnp.asarray(photograph)))[0, ..., 0], expected, atol=2 / 255)
    np.testing.assert_array_equal(given_masks("grey")({"image": normalise(jnp.asarray(image))}), mask)


# ---- folder ----------------------------------------------------------------------------------------------------------


def write_masks(folder, sources, pixels=None):
    """A mask for every example: a left half, wider for each example."""
    for source in sources.values():
        for index in range(len(source)):
            path = mask_path(folder, source[index]["id"])
            path.parent.mkdir(parents=True, exist_ok=True)
            mask = np.zeros((32, 32, 1), np.uint8)
            mask[:, : index + 1] = 255
            path.write_bytes(as_png(mask if pixels is None else pixels))


@pytest.mark.parametrize(
    ("identifier", "expected"),
    [
        ("photo/dog/003.jpg", "photo/dog/003.png"),
        ("photo/dog/003.JPEG", "photo/dog/003.png"),
        ("photo/dog/003.png", "photo/dog/003.png"),
        ("1/0/7", "1/0/7.png"),
        ("grinning.v2", "grinning.v2.png"),
        ("..hidden/1", "..hidden/1.png"),
    ],
)
def test_where_a_mask_lies(tmp_path, identifier, expected):
    assert mask_path(tmp_path, identifier) == tmp_path / expected


@pytest.mark.parametrize("identifier", ["../a.jpg", "/a.jpg", "dog/../../a.jpg", "..", "", ".", "dog/\0.jpg"])
def test_an_id_that_names_no_file_inside_of_the_folder_is_refused(tmp_path, identifier):
    with pytest.raises(UserError, match="does not name a file inside the masks' folder"):
        mask_path(tmp_path, identifier)


def test_masks_of_a_folder_replace_those_of_the_data(tmp_path):
    sources = {"dark": Squares(0, 0, 3), "grey": Squares(1, 0, 2)}
    write_masks(tmp_path, sources)
    replaced = with_masks(sources, tmp_path)
    assert {domain: len(source) for domain, source in replaced.items()} == {"dark": 3, "grey": 2}
    for index in range(3):
        example = replaced["dark"][index]
        assert example["mask"].shape == (32, 32, 1)
        assert (example["mask"] == 255).sum() == 32 * (index + 1)
        np.testing.assert_array_equal(example["image"], sources["dark"][index]["image"])


def test_masks_that_are_missing_are_counted_and_named(tmp_path):
    sources = {"dark": Squares(0, 0, 8)}
    with pytest.raises(UserError, match=r"mask_folder is .*none.*, which is not a folder"):
        with_masks(sources, tmp_path / "none")
    write_masks(tmp_path, sources)
    for index in range(2, 7):
        (tmp_path / f"0/0/{index}.png").unlink()
    with pytest.raises(
        UserError, match=r"5 of 8 training images have no mask: .*2\.png, .*3\.png, .*4\.png and 2 more mu"
    ):
        with_masks(sources, tmp_path)


def test_two_images_with_one_mask_are_refused(tmp_path):
    class TwoFormats(Squares):
        def column(self, field):
            return ["dog/1.jpg", "dog/2.jpg", "dog/1.png"]

    with pytest.raises(UserError, match=r"dog/1\.jpg and dog/1\.png would share the mask .*1\.png; rename"):
        with_masks({"dark": TwoFormats(0, 0, 3)}, tmp_path)


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        (b"", "cannot be read .empty file"),
        (b"GARBAGE", "cannot be read .not an image"),
        (as_png(np.zeros((32, 32, 1), np.uint8))[:70], "cannot be read .truncated"),
        (as_png(np.zeros((16, 32, 1), np.uint8)), "has 32 x 16 pixels, its image 32 x 32"),
    ],
)
def test_a_mask_that_does_not_fit_is_refused_by_name(tmp_path, content, complaint):
    sources = {"dark": Squares(0, 0, 1)}
    write_masks(tmp_path, sources)
    (tmp_path / "0/0/0.png").write_bytes(content)
    with pytest.raises(UserError, match=rf"The mask .*0/0/0\.png {complaint}"):
        _ = with_masks(sources, tmp_path)["dark"][0]


def test_masks_of_zeros_and_ones_are_masks_of_0_and_255():
    mask = np.eye(4, dtype=np.uint8)[..., None]
    np.testing.assert_array_equal(decode_mask(as_png(mask)), 255 * mask)


def test_a_run_guided_by_a_folder(tmp_path):
    config = chosen("gradia", "folder", mask_folder=str(tmp_path / "masks"))
    write_masks(tmp_path / "masks", load_squares(config.data).train)
    summary = train_and_evaluate(config, tmp_path / "run")
    assert (summary["algorithm"], summary["guidance"], summary["step"]) == ("gradia", "folder", 4)
    lines = [json.loads(line) for line in (tmp_path / "run" / "metrics.jsonl").read_text().splitlines()]
    train = [line for line in lines if line["split"] == "train"]
    assert {line["phase"] for line in train} == {"rounds"}
    assert all(line["classifier/attention"] > 0 for line in train)


def test_a_broken_mask_ends_a_run_with_its_name(tmp_path):
    config = chosen("gradia", "folder", mask_folder=str(tmp_path / "masks"))
    write_masks(tmp_path / "masks", load_squares(config.data).train, np.zeros((8, 8, 1), np.uint8))
    with pytest.raises(UserError, match="has 8 x 8 pixels, its image 32 x 32; make it anew"):
        train_and_evaluate(config, tmp_path / "run")


# ---- refused before anything is compiled -----------------------------------------------------------------------------


def refused(config, run, monkeypatch, match):
    def compiled(*_):
        raise AssertionError("compiled something first")

    monkeypatch.setattr("align_jax.training.initial_states.compile_step", compiled)
    with pytest.raises(UserError, match=match):
        train_and_evaluate(config, run)
    assert not run.exists()


@pytest.mark.parametrize("name", ["rrr", "gradia", "haics"])
def test_a_method_whose_masks_the_data_lack_says_so(tmp_path, monkeypatch, name):
    without = lambda config: dataclasses.replace(load_squares(config), has_masks=False)  # noqa: E731
    monkeypatch.setitem(load.DATASETS, "squares", without)
    match = f"{name} is to be guided by true masks, but squares has none; set config.guidance to 'learned', 'folder'"
    refused(chosen(name), tmp_path / "run", monkeypatch, match)


def test_masks_missing_in_the_folder_are_told_before_anything_is_compiled(tmp_path, monkeypatch):
    (tmp_path / "masks").mkdir()
    config = chosen("align", "folder", mask_folder=str(tmp_path / "masks"))
    refused(config, tmp_path / "run", monkeypatch, "60 of 60 training images have no mask")


def test_a_config_that_cannot_work_is_refused_before_anything_is_compiled(tmp_path, monkeypatch):
    match = r"config\.algorithm is 'nonsense'; it must be one of align, erm, dre, sgt, irm, group_dro, jtt, mixup, "
    refused(
        chosen("nonsense"), tmp_path / "run", monkeypatch, match + "coral, vrex, rrr, gradia, haics, background_swap"
    )
