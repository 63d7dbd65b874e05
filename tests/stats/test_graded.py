"""The textbook intervals of graded and clustered differences, held against scipy and statsmodels."""

import numpy as np
import pytest
import statsmodels.api as sm
from scipy import stats

from parity.stats.bounded import Units
from parity.stats.clustered import clustered_interval, robust_interval, wild_interval
from parity.stats.graded import bootstrap_t_interval, t_interval

CHANCE = np.random.default_rng(0)
DIFFERENCES = np.clip(CHANCE.normal(0.03, 0.2, 300), -1, 1)


def test_paired_t_is_scipys():
    interval = t_interval(DIFFERENCES, 0.9)
    reference = stats.ttest_1samp(DIFFERENCES, 0).confidence_interval(0.9)
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert interval.method == "paired t"


def test_bootstrap_t_is_seeded_and_leans_against_the_skew():
    skewed = -CHANCE.beta(0.5, 8, 200)
    interval, again = bootstrap_t_interval(skewed), bootstrap_t_interval(skewed)
    assert interval == again
    t = t_interval(skewed)
    assert interval.low < t.low
    assert interval.high < t.high
    near = bootstrap_t_interval(DIFFERENCES)
    assert (near.low, near.high) == pytest.approx((t_interval(DIFFERENCES).low, t_interval(DIFFERENCES).high), abs=3e-3)


def test_equal_or_few_differences_are_refused():
    with pytest.raises(ValueError, match="all differences are equal"):
        t_interval([0.0] * 50)
    with pytest.raises(ValueError, match="below 30"):
        bootstrap_t_interval([0.1, 0.2] * 10)


def test_cr2_of_equal_clusters_is_the_t_interval_of_their_means_and_cr1_of_statsmodels():
    labels = np.repeat(np.arange(50), 6)
    interval = robust_interval(Units.of(DIFFERENCES, labels))
    means = DIFFERENCES.reshape(50, 6).mean(axis=1)
    reference = stats.ttest_1samp(means, 0).confidence_interval(0.95)
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    fitted = sm.OLS(DIFFERENCES, np.ones(300)).fit(cov_type="cluster", cov_kwds={"groups": labels})
    assert interval.high - interval.low == pytest.approx(2 * stats.t.ppf(0.975, 49) * fitted.bse[0], rel=1e-9)


def test_cr2_of_uneven_clusters_is_the_matrix_formula():
    """Bell & McCaffrey's estimator and degrees of freedom, written out with the full matrices."""
    labels = np.repeat(np.arange(25), np.arange(25) // 2 + 1)
    n = len(labels)
    difference_I = DIFFERENCES[:n]
    left = np.eye(n) - np.full((n, n), 1 / n)
    residual_I, se2, rows = left @ difference_I, 0.0, []
    for cluster in range(25):
        at = np.flatnonzero(labels == cluster)
        values, vectors = np.linalg.eigh(left[np.ix_(at, at)])
        weight_I = (vectors @ np.diag(values**-0.5) @ vectors.T).sum(axis=0) / n
        se2 += (weight_I @ residual_I[at]) ** 2
        rows.append(weight_I @ left[at])
    gram = np.array(rows) @ np.array(rows).T
    half = stats.t.ppf(0.975, np.trace(gram) ** 2 / (gram**2).sum()) * np.sqrt(se2)
    interval = robust_interval(Units.of(difference_I, labels))
    mean = difference_I.mean()
    assert (interval.low, interval.high) == pytest.approx((mean - half, mean + half), rel=1e-9)


def test_wild_bootstrap_is_near_t_for_few_even_clusters():
    labels = np.repeat(np.arange(20), 15)
    wild = clustered_interval(Units.of(DIFFERENCES, labels), 0.9)
    assert wild == wild_interval(Units.of(DIFFERENCES, labels), 0.9)
    robust = robust_interval(Units.of(DIFFERENCES, labels), 0.9)
    assert wild.method.startswith("wild")
    assert (wild.low, wild.high) == pytest.approx((robust.low, robust.high), abs=0.006)


@pytest.mark.parametrize("clusters", [20, 60])
def test_clustered_intervals_hold_when_clusters_vary_smoothly(clusters):
    chance, count, held = np.random.default_rng(clusters), 250, 0
    for _ in range(count):
        size_C = chance.integers(3, 12, clusters)
        shift_I = np.repeat(chance.normal(0, 0.1, clusters), size_C)
        difference_I = np.clip(shift_I + chance.normal(0, 0.15, len(shift_I)), -1, 1)
        interval = clustered_interval(Units.of(difference_I, np.repeat(np.arange(clusters), size_C)))
        held += interval.low <= 0 <= interval.high
    assert held >= 0.95 * count - 3.1 * (0.05 * 0.95 * count) ** 0.5
