"""The page's data from a score and batches, of a model that this library knows nothing of."""

import re

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import explanations as metrics
from align_jax import saliency
from align_jax.reporting.explanations_page import explanations_page, measured

WEIGHTS = jax.random.normal(jax.random.key(0), (8, 8, 3)) / 10
NAMES = ("cat", "dog")
IMAGES = np.random.default_rng(0).random((5, 8, 8, 3), np.float32)
NEEDED = {
    "deletion": "Deletion: not measured; it needs the metric deletion_auc.",
    "insertion": "Insertion: not measured; it needs the metric insertion_auc.",
}
PREPROCESSING = saliency.Preprocessing((0.5, 0.5, 0.5), (0.25, 0.25, 0.25))


def apply(weights, image):
    evidence = (image * weights).sum((1, 2, 3))
    return jnp.stack([evidence, -evidence], axis=1)


def score(**options):
    def gradient(weights, image, classes):
        of_one = saliency.shown(jnp.abs(weights).sum(-1)[None], 8, 8)
        return jnp.repeat(of_one, len(image), axis=0)

    given = {
        "methods": {"gradient": gradient},
        "metrics": ("comprehensiveness", "deletion_auc", "insertion_auc"),
        "fill": "mean",
        "steps": 4,
        "preprocessing": PREPROCESSING,
    }
    return metrics.evaluator(apply, **(given | options))


def batches(**more):
    """Five images in batches of two; the last row is padding."""
    normalised = np.asarray(PREPROCESSING.normalise(jnp.asarray(IMAGES)))
    for start in (0, 2, 4):
        rows = np.minimum(np.arange(start, start + 2), 4)
        batch = {"image": normalised[rows], "key": jax.random.split(jax.random.key(0), 6)[start : start + 2]}
        yield batch | {"valid": np.arange(start, start + 2) < 5} | {name: value[rows] for name, value in more.items()}


def test_values_and_curves_are_those_of_the_score_without_the_padding():
    found = measured(score(), WEIGHTS, batches(), NAMES)
    assert found.measured == 5
    expected = [score()(WEIGHTS, {name: jnp.asarray(batch[name]) for name in ("image", "key")}) for batch in batches()]
    for title, method in (("Gradient", "gradient"), ("Random", "random"), ("Edges", "edges")):
        for metric, values in found.values[title].items():
            whole = np.concatenate([of[method][metric] for of in expected])[:5]
            np.testing.assert_allclose(values, whole, atol=1e-6)
        curve = found.curves[title]
        area = np.trapezoid(curve.deletion, np.ceil(curve.fractions * 64) / 64, axis=1)
        np.testing.assert_allclose(area, found.values[title]["deletion_auc"], atol=1e-6)
        area = np.trapezoid(curve.insertion, np.ceil(curve.fractions * 64) / 64, axis=1)
        np.testing.assert_allclose(area, found.values[title]["insertion_auc"], atol=1e-6)
    assert found.controls == ("Random", "Centre", "Edges")
    assert found.random == "Random"


def test_cards_show_the_pixels_as_they_were():
    found = measured(score(fill="black"), WEIGHTS, batches(), NAMES, cards={1, 4})
    assert [image.place for image in found.images] == [1, 4]
    np.testing.assert_array_equal(found.images[1].image, np.rint(IMAGES[4] * 255).astype(np.uint8))
    assert (found.images[1].filled == 0).all()
    logits = apply(WEIGHTS, PREPROCESSING.normalise(jnp.asarray(IMAGES)))
    p = np.asarray(jax.nn.softmax(logits))
    for image in found.images:
        assert image.predicted == NAMES[p[image.place].argmax()]
        assert image.probability == pytest.approx(p[image.place].max(), abs=1e-6)
        assert image.right is None
    assert list(found.images[0].maps) == ["Gradient", "Random", "Centre", "Edges"]


def test_texts_and_labels():
    texts = {"name": np.array(list("abcde")), "domain": np.array(list("xxyyy")), "cluster": np.array(list("ppqqr"))}
    found = measured(score(), WEIGHTS, batches(label=np.array([0, 1, 0, 1, 1]), **texts), NAMES)
    assert [(image.name, image.domain, image.label) for image in found.images] == list(
        zip("abcde", "xxyyy", ("cat", "dog", "cat", "dog", "dog"), strict=True)
    )
    assert found.clusters == list("ppqqr")
    assert found.settings.explained_class == "predicted"
    assert found.settings.fill == "mean"
    assert measured(score(target=1), WEIGHTS, batches(), NAMES).settings.explained_class == "dog"


def test_a_page_without_labels_says_nothing_of_right_and_wrong():
    html = explanations_page({"mine": measured(score(), WEIGHTS, batches(), NAMES)}, resamples=20)
    assert "Predicted class<select" in html
    assert not re.search(r'class="mark"', html)
    assert '<label hidden>Prediction<select id="prediction">' in html
    assert '<label hidden>Domain<select id="domain">' in html
    labelled = measured(score(), WEIGHTS, batches(label=np.array([0, 1, 0, 1, 1])), NAMES)
    html = explanations_page({"mine": labelled}, resamples=20)
    assert ">Class<select" in html
    assert len(re.findall(r'class="mark"', html)) == 5


def test_without_deletion_and_insertion_there_are_no_curves():
    found = measured(score(metrics=("gini",)), WEIGHTS, batches(), NAMES)
    assert not found.curves
    html = explanations_page({"mine": found}, resamples=20)
    assert 'class="panel"' not in html
    for words in NEEDED.values():
        assert words in html


@pytest.mark.parametrize(("which", "other"), [("deletion", "insertion"), ("insertion", "deletion")])
def test_one_of_deletion_and_insertion_is_drawn_alone(which, other):
    found = measured(score(metrics=(f"{which}_auc",)), WEIGHTS, batches(), NAMES)
    both = measured(score(), WEIGHTS, batches(), NAMES)
    for method, curves in found.curves.items():
        assert list(curves.measured) == [which]
        np.testing.assert_allclose(curves.measured[which], both.curves[method].measured[which], atol=1e-6)
    html = explanations_page({"mine": found}, resamples=20)
    assert html.count('class="panel"') == 1
    assert f"{which.title()}: mean probability of the explained class" in html
    assert NEEDED[other] in html
    assert NEEDED[which] not in html
    # Beside a run with both, it is said whose is missing.
    html = explanations_page({"mine": found, "other": both}, resamples=20)
    assert html.count('class="panel"') == 3
    assert NEEDED[other].replace(":", " of mine:") in html


def test_what_does_not_fit_is_refused():
    with pytest.raises(ValueError, match=r"outputs of shape \[2, 2\] do not fit 3 class names"):
        measured(score(), WEIGHTS, batches(), ("a", "b", "c"))
    with pytest.raises(ValueError, match="no image was given"):
        measured(score(), WEIGHTS, [], NAMES)
