import ml_dtypes
import numpy as np
import pytest

from align_jax.evaluation.metrics import accuracy, auc, balanced_accuracy, mean_where_defined, per_class_accuracy


def guesses(examples=60, classes=4, seed=0, levels=None):
    """Random probabilities and labels; with `levels`, rounded so that many are equal."""
    generator = np.random.default_rng(seed)
    probabilities = generator.dirichlet(np.ones(classes), size=examples)
    label = generator.integers(classes, size=examples)
    probabilities[np.arange(examples), label] += 0.2  # better than chance
    if levels:
        probabilities = np.round(probabilities * levels) / levels
    return probabilities, label


def auc_by_pairs(score, positive):
    wins = [float(p > n) + 0.5 * float(p == n) for p in score[positive] for n in score[~positive]]
    return np.mean(wins)


@pytest.mark.parametrize("levels", [None, 10, 2])
@pytest.mark.parametrize("classes", [2, 4])
def test_auc_is_the_chance_that_a_pair_is_in_order(levels, classes):
    probabilities, label = guesses(classes=classes, levels=levels)
    value, left_out = auc(probabilities, label)
    expected = np.mean([auc_by_pairs(probabilities[:, c], label == c) for c in range(classes)])
    np.testing.assert_allclose(value, expected, rtol=1e-12)
    assert left_out == 0


def test_auc_of_perfect_inverted_and_constant_scores():
    label = np.array([0, 1, 1, 2, 0])
    perfect = np.eye(3)[label]
    assert auc(perfect, label) == (1.0, 0)
    assert auc(1 - perfect, label) == (0.0, 0)
    assert auc(np.full((5, 3), 1 / 3), label) == (0.5, 0)


def test_auc_depends_on_the_order_alone():
    probabilities, label = guesses()
    np.testing.assert_allclose(auc(probabilities**3, label)[0], auc(probabilities, label)[0], rtol=1e-12)


def test_auc_leaves_out_classes_without_positives_or_negatives():
    probabilities, label = guesses(classes=3)
    wider = np.concatenate([probabilities, np.random.default_rng(1).random((len(label), 2))], axis=1)
    value, left_out = auc(wider, label)
    assert left_out == 2
    np.testing.assert_allclose(value, auc(probabilities, label)[0])
    value, left_out = auc(probabilities, np.ones_like(label))  # no negatives of 1, no positives of 0 and 2
    assert np.isnan(value)
    assert left_out == 3


def test_auc_of_low_precision_probabilities():
    probabilities, label = guesses()
    low = probabilities.astype(ml_dtypes.bfloat16)
    np.testing.assert_allclose(auc(low, label)[0], auc(low.astype(np.float64), label)[0])


def test_accuracy_counts():
    probabilities = np.array([[0.7, 0.2, 0.1], [0.1, 0.8, 0.1], [0.5, 0.3, 0.2], [0.4, 0.4, 0.2]], np.float32)
    label = np.array([0, 1, 1, 0])
    assert accuracy(probabilities, label) == 0.75
    np.testing.assert_array_equal(per_class_accuracy(probabilities, label), [1.0, 0.5, np.nan])
    assert balanced_accuracy(probabilities, label) == 0.75
    assert accuracy(probabilities, np.array([0, 1, 0, 1])) == 0.75


def test_balanced_accuracy_ignores_how_often_a_class_occurs():
    label = np.array([0] * 90 + [1] * 10)
    always_first = np.tile([0.9, 0.1], (100, 1))
    assert accuracy(always_first, label) == pytest.approx(0.9)
    assert balanced_accuracy(always_first, label) == pytest.approx(0.5)


def test_per_class_accuracies_add_up():
    probabilities, label = guesses()
    frequency = np.bincount(label) / len(label)
    np.testing.assert_allclose(per_class_accuracy(probabilities, label) @ frequency, accuracy(probabilities, label))


def test_mean_where_defined():
    assert mean_where_defined(np.array([1.0, np.nan, 3.0], np.float32)) == (2.0, 2)
    mean, count = mean_where_defined(np.array([np.nan, np.nan]))
    assert np.isnan(mean)
    assert count == 0
    assert np.isnan(mean_where_defined(np.array([]))[0])
    # Summed in float64: in float32 the ones would vanish beside 2^24.
    values = np.array([2.0**24] + [1.0] * 1000, np.float32)
    np.testing.assert_allclose(mean_where_defined(values)[0], (2.0**24 + 1000) / 1001, rtol=1e-12)


@pytest.mark.parametrize("metric", [accuracy, auc, per_class_accuracy, balanced_accuracy])
def test_what_cannot_be_scored_is_refused(metric):
    probabilities, label = guesses(classes=4)
    with pytest.raises(ValueError, match="labels from 1 to 4 do not fit 4 classes"):
        metric(probabilities, np.arange(60) % 4 + 1)
    with pytest.raises(ValueError, match="labels from -1"):
        metric(probabilities, np.arange(60) % 4 - 1)
    with pytest.raises(ValueError, match="not finite"):
        metric(np.where(probabilities > 0.9, np.nan, probabilities), label)
    with pytest.raises(ValueError, match="no examples"):
        metric(probabilities[:0], label[:0])
