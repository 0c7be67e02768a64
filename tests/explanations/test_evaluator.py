import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import explanations, saliency
from align_jax.explanations import CONTROLS, METRICS, evaluator
from align_jax.explanations.keys import keys_of

from ..virtual_devices import run_on_eight_devices
from .small_network import ERASER, IMAGE, MODEL, PREDICTED, logits

MAPS = {name: jnp.asarray(ERASER[f"saliency/{name}"], jnp.float32) for name in ("gradcam", "ig_abs_sum")}
METHODS = {name: lambda variables, image, target, name=name: MAPS[name] for name in MAPS}
KERNEL = {"scale": jnp.float32(1.0)}
BATCH = {"image": IMAGE, "mask": jnp.asarray(MODEL["mask"], jnp.float32), "key": jax.random.key(0)}


def apply(variables, image):
    return variables["scale"] * logits(image)


def gradient(variables, image, target):
    score = lambda image: apply(variables, image)[jnp.arange(len(image)), target].sum()  # noqa: E731
    maps = jnp.abs(jax.grad(score)(image)).sum(-1)
    return maps / maps.max((1, 2), keepdims=True)


def test_every_metric_of_every_method_and_control():
    score = evaluator(apply, methods={"gradient": gradient}, metrics=tuple(METRICS), fill="image_mean", steps=4)
    values = score(KERNEL, BATCH)
    assert set(values) == {"gradient", *CONTROLS}
    for of_method in values.values():
        assert set(of_method) == set(METRICS)
        for name, of_metric in of_method.items():
            assert of_metric.shape == (8,), name
            assert of_metric.dtype == jnp.float32, name
            assert np.isfinite(of_metric).all(), name


def test_values_are_those_of_the_single_metrics():
    score = evaluator(apply, methods=METHODS, metrics=tuple(explanations.METRICS)[:4], fill="image_mean", controls=())
    values = score(KERNEL, BATCH)
    probabilities = lambda image: jax.nn.softmax(logits(image))  # noqa: E731
    for name, maps in MAPS.items():
        steps = explanations.in_steps(20)
        bins = explanations.ERASER
        curves = explanations.perturb(
            probabilities, IMAGE, maps, PREDICTED, fill="image_mean", remove=bins + steps, keep=bins
        )
        inserted = explanations.perturb(probabilities, IMAGE, maps, PREDICTED, fill="blur", keep=steps)
        expected = {
            "comprehensiveness": explanations.comprehensiveness(curves),
            "sufficiency": explanations.sufficiency(curves),
            "deletion_auc": explanations.deletion_auc(curves),
            "insertion_auc": explanations.insertion_auc(inserted),
        }
        for metric, value in expected.items():
            np.testing.assert_allclose(values[name][metric], value, atol=1e-6)
        reference = ERASER[f"{name}/mean/ceil/comp_pred_points"].mean(axis=1)
        np.testing.assert_allclose(values[name]["comprehensiveness"], reference, atol=1e-6)


def test_metrics_by_name_that_have_options_are_the_functions_with_these():
    names = ("top_k_inside", "max_sensitivity", "faithfulness_correlation")
    values = evaluator(apply, methods={"gradient": gradient}, metrics=names, fill="image_mean", controls=())(
        KERNEL, BATCH
    )["gradient"]
    keys = keys_of(BATCH["key"], 8)
    own = [jax.vmap(lambda key, number=number: jax.random.fold_in(key, number))(keys) for number in (1, 2)]
    explain = lambda image: gradient(KERNEL, image, PREDICTED)  # noqa: E731
    maps = explain(IMAGE)
    noise = explanations.uniform_noise(own[0], IMAGE, 0.02)
    expected = {
        "top_k_inside": explanations.top_k_inside(maps, BATCH["mask"], 25),  # of 16 x 16 pixels
        "max_sensitivity": explanations.max_sensitivity(explain, IMAGE, noise=noise, samples=10),
        "faithfulness_correlation": explanations.faithfulness_correlation(
            lambda image: jax.nn.softmax(logits(image)),
            IMAGE,
            maps,
            PREDICTED,
            subsets=explanations.random_subsets(own[1], IMAGE, 25),
            samples=100,
            fill="image_mean",
        ),
    }
    for name, of_function in expected.items():
        np.testing.assert_allclose(values[name], of_function, rtol=1e-4, atol=1e-4, err_msg=name)


def test_masks_that_are_not_scaled_are_refused_outside_of_jit():
    score = evaluator(apply, methods={"gradient": gradient}, metrics=("energy_inside",), fill="blur", controls=())
    wrong = BATCH | {"mask": 255 * BATCH["mask"]}
    for function in (score, score.examined):
        with pytest.raises(ValueError, match=r"a mask with values from 0 to 255 does not lie in \[0, 1\]"):
            function(KERNEL, wrong)
    with pytest.raises(TypeError, match="could be 0/1 or 0/255"):
        score(KERNEL, BATCH | {"mask": BATCH["mask"].astype(jnp.uint8)})


def test_variables_are_arguments_and_the_model_is_in_the_program_a_fixed_number_of_times():
    traces = []

    def watched(variables, image):
        traces.append(image.shape)
        return apply(variables, image)

    counts = []
    for names in (("gradcam",), ("gradcam", "ig_abs_sum")):
        methods = {name: METHODS[name] for name in names}
        score = evaluator(watched, methods=methods, fill="blur")
        first = score(KERNEL, BATCH)
        counts.append(len(traces))
        second = score({"scale": jnp.float32(0.5)}, BATCH)
        assert len(traces) == counts[-1]
        assert (first["gradcam"]["deletion_auc"] != second["gradcam"]["deletion_auc"]).all()
        traces.clear()
    assert counts[0] == counts[1] == 2  # the clean pass, and the loop over all altered ones


def test_the_target_and_the_key():
    label = (PREDICTED + 1) % 5
    kept = evaluator(apply, methods={"gradient": gradient}, metrics=("comprehensiveness",), fill="blur", target="label")
    named = evaluator(apply, methods={"gradient": gradient}, metrics=("comprehensiveness",), fill="blur")
    of_label, of_predicted = kept(KERNEL, BATCH | {"label": label}), named(KERNEL, BATCH)
    assert jnp.abs(of_label["gradient"]["comprehensiveness"] - of_predicted["gradient"]["comprehensiveness"]).min() > 0
    same = kept(KERNEL, BATCH | {"label": PREDICTED})
    np.testing.assert_allclose(same["gradient"]["comprehensiveness"], of_predicted["gradient"]["comprehensiveness"])
    other = named(KERNEL, BATCH | {"key": jax.random.key(5)})
    assert (other["random"]["comprehensiveness"] != of_predicted["random"]["comprehensiveness"]).all()
    np.testing.assert_array_equal(other["edges"]["comprehensiveness"], of_predicted["edges"]["comprehensiveness"])


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"metrics": ("fidelity",)}, "unknown metric 'fidelity': give a tuple of names among comprehensiveness, suff"),
        ({"metrics": "sufficiency"}, "unknown metric 'sufficiency': give a tuple"),
        ({"controls": ("noise",)}, "unknown control 'noise': give a tuple of names among random, centre, edges"),
        ({"methods": {}, "controls": ()}, "no methods and no controls were given"),
        ({"methods": {"random": gradient}}, r"methods \['random'\] have the names of controls"),
    ],
)
def test_unknown_names_are_refused(options, message):
    with pytest.raises(ValueError, match=message):
        evaluator(apply, **{"methods": {"gradient": gradient}, "fill": "blur"} | options)


def test_metrics_against_a_mask_need_masks():
    score = evaluator(apply, methods=METHODS, metrics=("roc_auc", "gini"), fill="blur")
    with pytest.raises(ValueError, match="the batch has no 'mask', which roc_auc needs: it has image"):
        score(KERNEL, {"image": IMAGE})
    with pytest.raises(ValueError, match="the batch has no 'key', which random needs: it has image, mask"):
        score(KERNEL, {name: BATCH[name] for name in ("image", "mask")})
    labelled = evaluator(apply, methods=METHODS, metrics=("gini",), fill="blur", target="label")
    with pytest.raises(ValueError, match="the batch has no 'label', which target=\"label\" needs"):
        labelled(KERNEL, {"image": IMAGE})


SHARDED = """
import jax, numpy as np
from align_jax.explanations import evaluator
from align_jax.runtime.sharding import data_mesh, place_batch
from tests.explanations.test_evaluator import BATCH, KERNEL, apply, gradient

assert jax.device_count() == 8
metrics = ("comprehensiveness", "insertion_auc", "adcc", "road", "roc_auc")
score = evaluator(apply, methods={"gradient": gradient}, metrics=metrics, fill="image_mean", steps=4)
arrays = {name: np.asarray(BATCH[name]) for name in ("image", "mask")}
sharded = score(KERNEL, place_batch(data_mesh(), arrays) | {"key": BATCH["key"]})
for name, metrics in score(KERNEL, BATCH).items():
    for metric, value in metrics.items():
        np.testing.assert_allclose(sharded[name][metric], value, atol=2e-5, err_msg=f"{name} {metric}")
print("same")
"""


def test_eight_devices_are_one():
    run_on_eight_devices(SHARDED)


def test_methods_may_be_cuts():
    cut = lambda variables: saliency.cut(lambda image: image, lambda features: apply(variables, features))  # noqa: E731
    layer = lambda variables, image, target: jax.nn.relu(saliency.layer_cam(cut(variables), image, target))  # noqa: E731
    values = evaluator(apply, methods={"layer": layer}, metrics=("gini",), fill="blur", controls=())(KERNEL, BATCH)
    assert np.isfinite(values["layer"]["gini"]).all()


def test_a_function_as_target_is_explained_and_scored_on_the_outputs():
    target = saliency.log_probability(jnp.zeros(8, int))
    score = evaluator(apply, methods=METHODS, metrics=("comprehensiveness",), fill="blur", target=target, controls=())
    log_p = lambda image: jax.nn.log_softmax(logits(image))  # noqa: E731
    curves = explanations.perturb(log_p, IMAGE, MAPS["gradcam"], 0, fill="blur", remove=explanations.ERASER)
    found = score(KERNEL, BATCH)["gradcam"]["comprehensiveness"]
    np.testing.assert_allclose(found, explanations.comprehensiveness(curves), atol=1e-5)


def test_with_keys_of_their_own_images_do_not_depend_on_the_batch():
    score = evaluator(apply, methods={"gradient": gradient}, metrics=("road", "sufficiency"), fill="blur")
    keys = jax.random.split(jax.random.key(3), 8)
    whole, part = score(KERNEL, BATCH | {"key": keys}), score(KERNEL, {"image": IMAGE[2:5], "key": keys[2:5]})
    for name, metrics in part.items():
        for metric, value in metrics.items():
            np.testing.assert_allclose(value, whole[name][metric][2:5], atol=2e-5, err_msg=f"{name} {metric}")


def test_what_is_examined_is_what_the_values_come_from():
    metrics = ("comprehensiveness", "deletion_auc", "insertion_auc", "energy_inside")
    score = evaluator(apply, methods={"gradient": gradient}, metrics=metrics, fill="image_mean", steps=4)
    values, found = score(KERNEL, BATCH), score.examined(KERNEL, BATCH)
    jax.tree.map(lambda a, b: np.testing.assert_allclose(a, b, atol=1e-6), values, found.values)
    np.testing.assert_allclose(found.maps["gradient"], gradient(KERNEL, IMAGE, PREDICTED), atol=1e-5)
    np.testing.assert_allclose(found.probabilities, jax.nn.softmax(logits(IMAGE)), atol=1e-6)
    np.testing.assert_allclose(found.filled, np.broadcast_to(IMAGE.mean((1, 2), keepdims=True), IMAGE.shape), atol=1e-5)
    for method in ("gradient", *CONTROLS):
        area = explanations.deletion_auc(found.curves[method], 4)
        np.testing.assert_allclose(area, values[method]["deletion_auc"], atol=1e-6)
        assert explanations.deletion_points(found.curves[method], 4).shape == (8, 5)
        whole = explanations.insertion_points(found.insertion[method], 4)[:, -1]
        np.testing.assert_allclose(whole, found.probabilities.max(axis=1), atol=1e-6)
