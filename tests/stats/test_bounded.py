"""Gaffke's bound: Clopper-Pearson in its special case, level kept where the t interval fails, clusters as units."""

import numpy as np
import pytest
from scipy.stats import beta

from parity.stats.bounded import Units, bounded_interval, bounded_low
from parity.stats.clustered import clustered_interval
from parity.stats.graded import t_interval
from parity.stats.noninferiority import p_value, paired_interval


@pytest.mark.parametrize(("ahead", "n"), [(0, 30), (1, 30), (15, 30), (30, 30), (3, 164), (480, 500)])
def test_differences_of_one_sign_give_clopper_pearson(ahead, n):
    """Differences of -1 and 1 are twice a proportion minus one; its exact bound is a quantile of a beta."""
    units = Units.of(np.repeat([1.0, -1.0], [ahead, n - ahead]))
    exact = 2 * beta.ppf(0.05, ahead, n - ahead + 1) - 1 if ahead else -1.0
    assert bounded_low(units, 0.05) == pytest.approx(exact, abs=2e-3)


def test_it_is_the_quantile_of_dirichlet_weights():
    chance = np.random.default_rng(0)
    difference_I = np.clip(chance.normal(0.1, 0.4, 40), -1, 1)
    weights = chance.dirichlet(np.ones(41), size=200_000)
    drawn = weights @ np.append(difference_I, -1.0)
    assert bounded_low(Units.of(difference_I), 0.05) == pytest.approx(np.quantile(drawn, 0.05), abs=2e-3)


def test_the_p_value_at_the_bound_is_the_level():
    for units in (Units.of(np.random.default_rng(3).uniform(-0.5, 0.6, 90)), Units.of([0.0] * 40)):
        assert p_value(units, bounded_low(units, 0.05)) == pytest.approx(0.05, rel=1e-6)
    few = Units.of(np.random.default_rng(3).uniform(-0.2, 0.6, 20))
    assert p_value(few, paired_interval(few, 0.9).low) == pytest.approx(0.05, rel=1e-6)


def test_many_units_are_as_narrow_as_t_and_mirror():
    chance = np.random.default_rng(1)
    difference_I = np.clip(chance.normal(0.02, 0.3, 14_042), -1, 1)
    bounded, student = bounded_interval(Units.of(difference_I)), t_interval(difference_I)
    assert bounded.high - bounded.low == pytest.approx(student.high - student.low, rel=0.02)
    mirrored = bounded_interval(Units.of(-difference_I))
    assert (bounded.low, bounded.high) == pytest.approx((-mirrored.high, -mirrored.low), abs=1e-12)


def rare(chance, n):
    """One item in fifty is lost altogether, all others are level."""
    return np.where(chance.random(n) < 0.02, -1.0, 0.0)


def skewed(chance, n):
    return np.where(chance.random(n) < 0.05, -chance.beta(5, 1, n), 0.2 * chance.beta(1, 20, n))


@pytest.mark.parametrize(("source", "mean"), [(rare, -0.02), (skewed, -0.05 * 5 / 6 + 0.95 * 0.2 / 21)])
@pytest.mark.parametrize("n", [50, 164])
def test_the_level_is_kept_where_t_breaks_it(source, mean, n):
    chance, count = np.random.default_rng(n), 600
    samples = [source(chance, n) for _ in range(count)]
    wrong = sum(bounded_low(Units.of(sample), 0.05) > mean for sample in samples)
    assert wrong <= 0.05 * count + 3.1 * (0.05 * 0.95 * count) ** 0.5
    # Where all differences are equal the t interval would be the point 0, which is wrong as well.
    believed = [t_interval(sample, 0.9).low if len(set(sample)) > 1 else 0.0 for sample in samples]
    assert sum(low > mean for low in believed) > 0.065 * count


def test_all_alike_is_not_certain():
    interval = bounded_interval(Units.of([0.0] * 50), 0.9)
    assert interval.low == pytest.approx(0.05 ** (1 / 50) - 1, abs=1e-3)
    assert interval.high == -interval.low


def test_clusters_are_units_in_the_order_of_their_first_item():
    units = Units.of([1.0, 0.0, -1.0, 0.5], ["b", "a", "b", "c"])
    assert units.total_U.tolist() == [0.0, 0.0, 0.5]
    assert units.size_U.tolist() == [2, 1, 1]
    assert (units.gap, units.n, units.count, units.flips) == (0.125, 4, 3, 0.75)


def test_clusters_of_unequal_size_keep_the_level():
    """Large clusters are the bad ones: the mean per item is not the mean of the clusters."""
    chance, count, missed = np.random.default_rng(5), 400, 0
    for _ in range(count):
        size_C = chance.integers(1, 21, 60)
        bad_C = np.repeat(chance.random(60) < 0.02 * size_C, size_C)
        difference_I = np.where(bad_C, -1.0, 0.0) * (chance.random(len(bad_C)) < 0.5)
        truth = -0.5 * 0.02 * np.mean(np.arange(1, 21) ** 2) / 10.5
        missed += bounded_low(Units.of(difference_I, np.repeat(np.arange(60), size_C)), 0.05) > truth
    assert missed <= 0.05 * count + 3.1 * (0.05 * 0.95 * count) ** 0.5


def test_clusters_of_one_are_items():
    difference_I = np.random.default_rng(2).uniform(-0.5, 0.4, 80)
    assert bounded_interval(Units.of(difference_I)) == bounded_interval(Units.of(difference_I, np.arange(80)))


@pytest.mark.parametrize("differences", [[], [[0.0]], [1.1], [float("nan")]])
def test_nonsense_is_refused(differences):
    with pytest.raises(ValueError, match=r"no items|outside"):
        Units.of(differences)


def test_few_or_equal_clusters_are_refused_by_the_sandwich():
    with pytest.raises(ValueError, match="10 clusters"):
        clustered_interval(Units.of([0.1, 0.0] * 10, np.arange(20) // 2))
    with pytest.raises(ValueError, match="same mean"):
        clustered_interval(Units.of([0.1] * 60, np.arange(60) // 2))
