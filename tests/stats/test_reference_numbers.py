"""Published and independently computed numbers, to their printed digits."""

import math

import numpy as np
import pytest
from scipy.optimize import minimize_scalar
from scipy.stats import binomtest, norm
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar
from statsmodels.stats.power import NormalIndPower
from statsmodels.stats.proportion import proportion_confint

from parity.stats.intervals import clopper_pearson, wilson
from parity.stats.newcombe import newcombe_interval
from parity.stats.noninferiority import p_value
from parity.stats.paired import PairedCounts, mcnemar_exact, tango_interval, tango_statistic
from parity.stats.posterior import chance_above
from parity.stats.power import items_for_verdict, units_for_verdict
from parity.stats.predicted import ppi_interval


def counts(b, c, n=None):
    return PairedCounts(n or b + c, 0, b, c)


@pytest.mark.parametrize(
    ("b", "c", "p"),
    [
        (10, 2, 0.03857421875),
        (1, 9, 0.021484375),
        (25, 15, 0.1538599441628),
        (59, 121, 4.43444926e-06),
        (0, 6, 0.03125),
    ],
)
def test_mcnemar(b, c, p):
    result = mcnemar_exact(counts(b, c))
    assert result.p == pytest.approx(p, rel=1e-8)
    assert result.p == pytest.approx(statsmodels_mcnemar([[0, b], [c, 0]], exact=True).pvalue, rel=1e-9)


def test_mid_p():
    assert mcnemar_exact(counts(10, 2)).mid_p == pytest.approx(0.0224609375)


@pytest.mark.parametrize(
    ("b", "c", "n", "low", "high"),
    [
        (10, 2, 100, 0.0143, 0.15804),
        (20, 20, 500, -0.02576, 0.02576),
        (0, 0, 50, -0.07135, 0.07135),
        (9, 16, 164, -0.10635, 0.01815),
        (60, 84, 14042, -0.00343, -0.00003),
    ],
)
def test_tango(b, c, n, low, high):
    interval = tango_interval(counts(b, c, n))
    digits = 4 if (b, c, n) == (10, 2, 100) else 5
    assert round(interval.low, digits) == low
    assert round(interval.high, 5) == high
    assert interval.method == "Tango score"


@pytest.mark.parametrize(("b", "c", "n"), [(10, 2, 100), (9, 16, 164), (60, 84, 14042), (0, 0, 50)])
@pytest.mark.parametrize("d", [-0.1, -0.02, 0.0, 0.05])
def test_tangos_statistic_is_that_of_the_likelihood_maximised_by_scipy(b, c, n, d):
    """No package at hand has the interval: the constrained likelihood of eq. (12) is maximised numerically instead."""

    def loss(q):
        counted = ((b, q + d), (c, q), (n - b - c, 1 - 2 * q - d))
        return -sum(count * np.log(max(share, 1e-300)) for count, share in counted if count)

    low, high = max(0.0, -d), (1 - d) / 2
    q = minimize_scalar(loss, bounds=(low, high), method="bounded", options={"xatol": 1e-13}).x
    variance = n * (2 * q + d * (1 - d))
    if variance > 1e-6:
        assert tango_statistic(counts(b, c, n), d) == pytest.approx((b - c - n * d) / variance**0.5, abs=2e-4, rel=2e-4)


@pytest.mark.parametrize(
    ("k", "n", "low", "high"),
    [
        (17, 20, 0.6396, 0.9476),
        (5, 5, 0.5655, 1),
        (850, 1000, 0.8265, 0.8708),
        (80, 100, 0.7112, 0.8666),
        (8, 10, 0.4902, 0.9433),
    ],
)
def test_wilson(k, n, low, high):
    interval = wilson(k, n)
    assert (round(interval.low, 4), round(interval.high, 4)) == (low, high)
    reference = binomtest(k, n).proportion_ci(method="wilson")
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-12)
    assert (interval.low, interval.high) == pytest.approx(proportion_confint(k, n, method="wilson"), abs=1e-12)


@pytest.mark.parametrize(("k", "n"), [(17, 20), (0, 7), (7, 7), (1, 1000), (11117, 14042)])
def test_clopper_pearson(k, n):
    interval = clopper_pearson(k, n)
    reference = binomtest(k, n).proportion_ci(method="exact")
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-10)
    if 0 < k < n:
        assert (interval.low, interval.high) == pytest.approx(proportion_confint(k, n, method="beta"), abs=1e-10)


def test_clopper_pearson_printed():
    interval = clopper_pearson(17, 20)
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.6211, 0.9679)


@pytest.mark.parametrize(
    ("margin", "gap", "flips", "items"),
    [
        (0.01, 0, 0.06, 2935),
        (0.01, 0, 0.12, 4855),
        (0.01, 0, 0.20, 6575),
        (0.02, 0, 0.06, 870),
        (0.02, 0, 0.12, 1638),
        (0.02, 0.01, 0.12, 778),
        (0.03, 0, 0.20, 1252),
    ],
)
def test_items_for_a_verdict(margin, gap, flips, items):
    assert items_for_verdict(flips, gap, margin, population=14042) == pytest.approx(items, abs=1)


def test_no_number_of_items_decides_a_gap_on_the_margin():
    assert items_for_verdict(0.1, -0.02, 0.02) is None
    assert items_for_verdict(0.1, -0.0200001, 0.02, population=500) == 500


def test_newcombe_is_the_published_example():
    """Newcombe 1998: table 36, 12, 2, 0."""
    interval = newcombe_interval(PairedCounts(50, 36, 12, 2))
    assert (round(interval.low, 4), round(interval.high, 4)) == (0.0569, 0.3404)
    mirrored = newcombe_interval(PairedCounts(50, 36, 2, 12))
    assert (mirrored.low, mirrored.high) == pytest.approx((-interval.high, -interval.low), abs=1e-12)
    empty = newcombe_interval(PairedCounts(30, 30, 0, 0))
    assert empty.low < 0 < empty.high


@pytest.mark.parametrize(("n", "b", "c", "at"), [(50, 1, 3, -0.02), (500, 20, 28, -0.02), (14042, 60, 84, 0.0)])
def test_the_posterior_is_what_dirichlet_draws_say(n, b, c, at):
    drawn = np.random.default_rng(n).dirichlet([b + 0.5, c + 0.5, n - b - c + 1], 400_000)
    share = (drawn[:, 0] - drawn[:, 1] > at).mean()
    assert chance_above(PairedCounts(n, 0, b, c), at) == pytest.approx(share, abs=4 * (0.25 / 400_000) ** 0.5)


def test_without_flips_the_posterior_follows_the_prior_and_the_items():
    assert chance_above(PairedCounts(14042, 9000, 0, 0), -0.02) == pytest.approx(1)
    assert chance_above(PairedCounts(20, 10, 0, 0), 0.0) == pytest.approx(0.5, abs=1e-6)


def test_millers_power_calculation():
    """Miller 2024: variance 1/9, a difference of 3 points, two-sided .05, power .8: 969 questions (968.998)."""
    unrounded = (norm.ppf(0.975) + norm.ppf(0.8)) ** 2 / 9 / 0.03**2
    assert unrounded == pytest.approx(968.998, abs=1e-3)
    assert units_for_verdict(1 / 9, 0.0, 0.03, alpha=0.025) == 969
    # One sample of differences with standard deviation 1/3: an effect of .09.
    told = NormalIndPower().solve_power(0.03 / (1 / 3), alpha=0.05, power=0.8, ratio=0)
    assert told == pytest.approx(unrounded, rel=1e-4)


@pytest.mark.parametrize(("rho", "gain"), [(0.5, 1.33), (0.7, 1.96), (0.8, 2.78), (0.9, 5.26), (0.95, 10.26)])
def test_ppi_spares_what_correlation_promises(rho, gain):
    """The notes' table 1 / (1 - rho^2), as the ratio of squared widths on normal differences."""
    chance, n = np.random.default_rng(2), 20_000
    prediction = chance.normal(0, 0.1, n * 50)
    difference = rho * prediction[:n] + math.sqrt(1 - rho**2) * chance.normal(0, 0.1, n)
    told = ppi_interval(difference, prediction)
    plain = 2 * 1.96 * difference.std() / n**0.5
    measured = (plain / (told.high - told.low)) ** 2
    # Of the predictions' own spread 1 / 50 is left: the population is 50 times the sample, and its mean is known.
    assert measured * (1 - 1 / 50) == pytest.approx(gain, rel=0.04)


def test_the_p_value_and_the_bound_tell_the_same():
    for table in (PairedCounts(500, 300, 20, 28), PairedCounts(14042, 9000, 60, 84), PairedCounts(25, 10, 2, 3)):
        low = tango_interval(table, 0.9).low if table.n >= 30 else None
        if low is not None:
            assert p_value(table, low) == pytest.approx(0.05, abs=1e-6)
    assert 0.8**25 < p_value(PairedCounts(25, 10, 0, 0), -0.2) < 0.05
    assert math.isclose(p_value(PairedCounts(1000, 0, 0, 0), -0.0), 0.5)
