import numpy as np
import pytest

from align_jax.evaluation.bootstrap import (
    FEWEST_CLUSTERS,
    clustered_interval,
    clustered_standard_error,
    paired_difference,
)


def images(clusters=40, within=0.5, seed=0, sizes=(4, 12)):
    """Values that share a part within each cluster, clusters of unequal size."""
    generator = np.random.default_rng(seed)
    cluster = np.repeat(np.arange(clusters), generator.integers(*sizes, size=clusters))
    shared = generator.normal(size=clusters)[cluster]
    return shared + within * generator.normal(size=len(cluster)), cluster


def analytic(values, cluster):
    """The ratio estimator's standard error: residuals are summed within a cluster before squaring."""
    residual = np.bincount(cluster, weights=values - values.mean())
    return np.sqrt((residual**2).sum()) / len(values)


def naive(values):
    return values.std() / np.sqrt(len(values))


@pytest.mark.parametrize("within", [0.0, 0.5, 3.0])
def test_standard_error_is_the_analytic_one(within):
    values, cluster = images(clusters=60, within=within)
    np.testing.assert_allclose(
        clustered_standard_error(values, cluster, resamples=5000), analytic(values, cluster), rtol=0.06
    )


def test_images_that_agree_within_a_concept_count_once():
    cluster = np.repeat(np.arange(56), 10)
    values = (np.random.default_rng(0).random(56) < 0.7).astype(np.float64)[cluster]
    np.testing.assert_allclose(clustered_standard_error(values, cluster), np.sqrt(10) * naive(values), rtol=0.06)


def test_clusters_of_one_image_give_the_usual_error():
    values = np.random.default_rng(0).random(300)
    np.testing.assert_allclose(clustered_standard_error(values, np.arange(300)), naive(values), rtol=0.06)


def test_interval_holds_the_mean_and_follows_the_error():
    values, cluster = images()
    low, high = clustered_interval(values, cluster)
    assert low < values.mean() < high
    np.testing.assert_allclose(high - low, 2 * 1.96 * clustered_standard_error(values, cluster), rtol=0.1)
    wider = clustered_interval(values, cluster, 0.99)
    assert wider[0] < low < high < wider[1]


def test_interval_covers_the_truth_about_as_often_as_it_says():
    hits = 0
    for seed in range(200):
        values, cluster = images(clusters=40, seed=seed)  # the truth is 0
        low, high = clustered_interval(values, cluster, 0.9, resamples=400)
        hits += low < 0 < high
    assert 0.82 <= hits / 200 <= 0.96


@pytest.mark.parametrize("clusters", [FEWEST_CLUSTERS, 12])
def test_a_difference_where_there_is_none_is_as_rare_with_few_clusters(clusters):
    """95 % intervals of values without an effect; the percentiles alone leave out 0 in 8 to 11 % of the draws."""
    draws, nothing = np.random.default_rng(0), np.zeros(clusters)
    apart = 0
    for _ in range(1000):
        low, high = paired_difference(draws.normal(size=clusters), nothing, np.arange(clusters)).interval
        apart += low > 0 or high < 0
    assert 0.03 <= apart / 1000 <= 0.075


def test_too_few_clusters_for_an_interval_still_have_an_error():
    values, cluster = images(clusters=FEWEST_CLUSTERS - 1)
    assert np.isfinite(clustered_standard_error(values, cluster))
    assert np.isnan(clustered_interval(values, cluster)).all()
    result = paired_difference(values, 0 * values, cluster)
    assert np.isfinite([result.difference, result.standard_error]).all()
    assert np.isnan(result.interval).all()


def test_identical_methods_do_not_differ_at_all():
    values, cluster = images()
    assert paired_difference(values, values.copy(), cluster) == (0.0, 0.0, (0.0, 0.0))


def test_pairs_cancel_what_is_hard_for_both():
    values, cluster = images(within=0.1)
    better = values + 0.2 + 0.01 * np.random.default_rng(1).normal(size=len(values))
    result = paired_difference(better, values, cluster)
    np.testing.assert_allclose(result.difference, 0.2, atol=0.01)
    assert result.interval[0] < result.difference < result.interval[1]
    assert result.interval[0] > 0.19
    assert result.standard_error < 0.05 * clustered_standard_error(values, cluster)


def test_a_difference_is_clustered_too_and_changes_sign_with_the_order():
    a, cluster = images(seed=0)
    b = np.random.default_rng(1).normal(size=40)[cluster]
    forth, back = paired_difference(a, b, cluster), paired_difference(b, a, cluster)
    np.testing.assert_allclose(forth.standard_error, analytic(a - b, cluster), rtol=0.1)
    np.testing.assert_allclose(forth.difference, (a - b).mean())
    np.testing.assert_allclose(back.difference, -forth.difference)
    np.testing.assert_allclose(back.standard_error, forth.standard_error)
    np.testing.assert_allclose(back.interval, [-forth.interval[1], -forth.interval[0]])


def test_undefined_values_are_left_out():
    values, cluster = images()
    missing = np.random.default_rng(1).random(len(values)) < 0.3
    missing |= cluster == 7  # one cluster disappears altogether
    holes = np.where(missing, np.nan, values)
    kept = values[~missing], cluster[~missing]
    assert clustered_standard_error(holes, cluster) == clustered_standard_error(*kept)
    assert clustered_interval(holes, cluster) == clustered_interval(*kept)
    zeros = np.zeros_like(values)
    expected = paired_difference(kept[0], zeros[~missing], kept[1])
    assert paired_difference(holes, zeros, cluster) == expected
    assert paired_difference(values, np.where(missing, np.nan, 0.0), cluster) == expected


def test_labels_of_clusters_are_only_names():
    values, cluster = images()
    names = np.array([f"concept {c:03}" for c in cluster])
    assert clustered_standard_error(values, names) == clustered_standard_error(values, cluster)
    shuffled = np.random.default_rng(2).permutation(len(values))
    np.testing.assert_allclose(
        clustered_standard_error(values[shuffled], cluster[shuffled]), clustered_standard_error(values, cluster)
    )


def test_results_follow_from_the_seed():
    values, cluster = images()
    assert clustered_standard_error(values, cluster, seed=3) == clustered_standard_error(values, cluster, seed=3)
    assert clustered_standard_error(values, cluster, seed=3) != clustered_standard_error(values, cluster, seed=4)


@pytest.mark.parametrize("count", [0, 1, 5])
def test_one_cluster_says_nothing_about_a_spread(count):
    values, cluster = np.ones(count), np.zeros(count, int)
    assert np.isnan(clustered_standard_error(values, cluster))
    assert np.isnan(clustered_interval(values, cluster)).all()
    result = paired_difference(values, values, cluster)
    assert np.isnan([result.standard_error, *result.interval]).all()
    assert np.isnan(result.difference) if count == 0 else result.difference == 0


def test_refused_levels_and_resamples():
    values, cluster = images()
    for level in (0.0, 1.0, 95.0):
        with pytest.raises(ValueError, match="between 0 and 1"):
            clustered_interval(values, cluster, level)
    with pytest.raises(ValueError, match="resamples 1 must be at least 2"):
        clustered_standard_error(values, cluster, resamples=1)
