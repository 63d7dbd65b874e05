"""Invariants of the paired statistics: exactness by enumeration, mirror symmetry, duality."""

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from parity.stats.exact import exact_interval, exact_p_value
from parity.stats.noninferiority import EXACT_BELOW, evidence, paired_interval
from parity.stats.paired import PairedCounts, tango_interval, tango_statistic


@st.composite
def tables(draw, low=1, high=400):
    n = draw(st.integers(low, high))
    b = draw(st.integers(0, n))
    c = draw(st.integers(0, n - b))
    return PairedCounts(n, draw(st.integers(0, n - b - c)), b, c)


@given(tables(), st.sampled_from([0.8, 0.9, 0.95, 0.99]))
def test_tango_holds_the_estimate_and_mirrors(counts, confidence):
    interval, mirrored = tango_interval(counts, confidence), tango_interval(counts.swapped, confidence)
    assert interval.low - 1e-12 <= counts.gap <= interval.high + 1e-12
    assert (interval.low, interval.high) == (-mirrored.high, -mirrored.low)


@given(tables(low=30), st.sampled_from([0.01, 0.02, 0.05]), st.sampled_from([0.025, 0.05, 0.1]))
def test_the_bound_and_the_test_agree(counts, margin, alpha):
    from scipy.stats import norm

    statistic = tango_statistic(counts, -margin)
    if abs(statistic - norm.ppf(1 - alpha)) > 1e-6:
        assert evidence(counts, margin, alpha).non_inferior == (statistic > norm.ppf(1 - alpha))


@settings(deadline=None, max_examples=15)
@given(tables(high=12))
def test_exact_holds_the_estimate_and_mirrors(counts):
    interval, mirrored = exact_interval(counts), exact_interval(counts.swapped)
    assert interval.low <= counts.gap <= interval.high
    assert (interval.low, interval.high) == (-mirrored.high, -mirrored.low)


def probabilities(n, p, q):
    """Every table of n items with its trinomial probability at P(only candidate) = p, P(only incumbent) = q."""
    for b in range(n + 1):
        for c in range(n + 1 - b):
            weight = math.comb(n, b) * math.comb(n - b, c)
            yield PairedCounts(n, 0, b, c), weight * p**b * q**c * (1 - p - q) ** (n - b - c)


@pytest.mark.parametrize("n", [3, 8])
def test_exact_coverage_by_enumeration(n):
    intervals = {(t.only_candidate, t.only_incumbent): exact_interval(t, 0.9) for t, _ in probabilities(n, 0.1, 0.1)}
    for p, q in [(0.0, 0.0), (0.05, 0.05), (0.3, 0.1), (0.02, 0.4), (0.5, 0.5), (0.9, 0.05)]:
        covered = 0.0
        for table, probability in probabilities(n, p, q):
            interval = intervals[table.only_candidate, table.only_incumbent]
            if interval.low - 1e-9 <= p - q <= interval.high + 1e-9:
                covered += probability
        assert covered >= 0.9 - 1e-9, (p, q)


def test_exact_size_at_the_margin_by_enumeration():
    n, margin, alpha = 15, 0.1, 0.05
    p_values = {
        (t.only_candidate, t.only_incumbent): exact_p_value(t, -margin, "greater") for t, _ in probabilities(n, 0, 0.1)
    }
    for p in np.linspace(0, 0.45, 19):
        size = sum(
            probability
            for table, probability in probabilities(n, p, p + margin)
            if p_values[table.only_candidate, table.only_incumbent] <= alpha
        )
        assert size <= alpha + 1e-9


def test_few_items_get_the_exact_interval_and_the_label_says_so():
    assert paired_interval(PairedCounts(EXACT_BELOW - 1, 10, 3, 2)).method == "exact unconditional"
    assert paired_interval(PairedCounts(EXACT_BELOW, 10, 3, 2)).method == "Tango score"


def test_a_hundred_equal_answers_prove_no_two_point_margin():
    assert not evidence(PairedCounts(100, 80, 0, 0), 0.02).non_inferior
    assert evidence(PairedCounts(14042, 9000, 0, 0), 0.02).non_inferior


@pytest.mark.parametrize(("margin", "alpha"), [(0, 0.05), (2, 0.05), (0.02, 0), (0.02, 0.5)])
def test_margins_and_levels_that_make_no_sense(margin, alpha):
    with pytest.raises(ValueError, match=r"margin|alpha"):
        evidence(PairedCounts(100, 80, 0, 0), margin, alpha)
