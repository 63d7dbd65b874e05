"""Published and independently computed numbers, to their printed digits."""

import pytest
from scipy.stats import binomtest
from statsmodels.stats.contingency_tables import mcnemar as statsmodels_mcnemar

from parity.stats.intervals import clopper_pearson, wilson
from parity.stats.paired import PairedCounts, mcnemar_exact, tango_interval
from parity.stats.power import items_for_verdict


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


@pytest.mark.parametrize(("k", "n"), [(17, 20), (0, 7), (7, 7), (1, 1000), (11117, 14042)])
def test_clopper_pearson(k, n):
    interval = clopper_pearson(k, n)
    reference = binomtest(k, n).proportion_ci(method="exact")
    assert (interval.low, interval.high) == pytest.approx((reference.low, reference.high), abs=1e-10)


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
