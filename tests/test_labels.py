"""A label that no class has is refused where its value is known, and is NaN in all that is compiled."""

import jax
import jax.numpy as jnp
import numpy as np
import pytest

from align_jax import losses, saliency
from align_jax.algorithms import irm, sgt
from align_jax.evaluation import metrics
from align_jax.explanations import comprehensiveness, perturb
from align_jax.labels import of_label

B, K = 3, 4
SCORES = jax.random.normal(jax.random.key(0), (B, K))
IMAGE = jax.random.normal(jax.random.key(1), (B, 4, 4, 3))
KERNEL = jax.random.normal(jax.random.key(2), (3, K))
MAP = jax.random.uniform(jax.random.key(3), (B, 4, 4))


def head(features, kernel=KERNEL):
    return features.mean((1, 2)) @ kernel


def probabilities(image):
    return jax.nn.softmax(head(image))


# From something differentiable and labels to a value of each example, or one of all of them.
FUNCTIONS = {
    "of_label": (of_label, SCORES),
    "cross_entropy": (losses.cross_entropy, SCORES),
    "mixed_cross_entropy": (losses.mixed_cross_entropy, SCORES),
    "swapped_cross_entropy": (losses.swapped_cross_entropy, SCORES),
    "mean_over_classes": (lambda values, label: losses.mean_over_classes(values, label, K), SCORES[:, 0]),
    "invariance_penalty": (lambda logits, label: irm.invariance_penalty(logits, label, jnp.ones((1, B), bool)), SCORES),
    "grad_cam": (lambda features, label: saliency.grad_cam(head, features, label), IMAGE),
    "grad_cam, log_probability": (
        lambda features, label: saliency.grad_cam(head, features, label, explained="log_probability"),
        IMAGE,
    ),
    "label_gradient": (lambda image, label: sgt.label_gradient(lambda x: jnp.tanh(head(x)), image, label), IMAGE),
    "perturb": (
        lambda image, label: perturb(probabilities, image, MAP, label, fill="blur", remove=(0.5,), keep=(0.5,)).clean,
        IMAGE,
    ),
    "comprehensiveness": (
        lambda image, label: comprehensiveness(
            perturb(probabilities, image, MAP, label, fill="blur", remove=(0.5,)), (0.5,)
        ),
        IMAGE,
    ),
}


@pytest.mark.parametrize("outside", [-1, K])
@pytest.mark.parametrize("name", FUNCTIONS)
def test_a_label_that_no_class_has(name, outside):
    function, given = FUNCTIONS[name]
    label = jnp.array([1, 2, 0])
    wrong = label.at[1].set(outside)
    with pytest.raises(ValueError, match=f"labels from .*{outside}.* do not fit {K} classes: they must lie in 0 to 3"):
        function(given, wrong)

    @jax.jit
    def value_and_gradient(given, label):
        values, pullback = jax.vjp(lambda given: function(given, label), given)
        return values, pullback(jnp.ones_like(values))[0]

    values, gradient = value_and_gradient(given, label)
    assert jnp.isfinite(values).all() & jnp.isfinite(gradient).all()
    poisoned, poisoned_gradient = value_and_gradient(given, wrong)
    if values.ndim == 0:
        assert jnp.isnan(poisoned)
        return
    assert jnp.isnan(poisoned[1]).all()
    others = jnp.array([0, 2])
    np.testing.assert_array_equal(poisoned[others], values[others])
    np.testing.assert_array_equal(poisoned_gradient[others], gradient[others])
    if name not in ("label_gradient", "grad_cam"):  # linear in what they are given, or constant
        assert jnp.isnan(poisoned_gradient[1]).any()


@pytest.mark.parametrize(
    "metric", [metrics.accuracy, metrics.per_class_accuracy, metrics.balanced_accuracy, metrics.auc]
)
def test_metrics_refuse_it_in_the_same_words(metric):
    for outside in (-1, K):
        with pytest.raises(ValueError, match=r"labels from .* do not fit 4 classes: they must lie in 0 to 3"):
            metric(np.asarray(jax.nn.softmax(SCORES)), np.array([0, 1, outside]))


@pytest.mark.parametrize("dtype", [jnp.int8, jnp.int32])
def test_labels_of_any_whole_type_are_read(dtype):
    scores = jnp.arange(600.0).reshape(2, 300)
    label = jnp.array([0, 100], dtype)
    assert of_label(scores, label).tolist() == [0, 400]
    assert jax.jit(of_label)(scores, label).tolist() == [0, 400]
    assert of_label(scores[:0], label[:0]).shape == (0,)
