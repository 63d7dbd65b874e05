"""Bounds that hold at any stop: error rates by simulation, certainty when all is seen, what stopping early saves."""

import numpy as np
import pytest

from parity.stats.sequential import BETS, anytime_bounds, exceeds


def population(size, flips, gap):
    """Differences of a population with that share of flips, and that gap in whole items."""
    ahead, behind = round(size * (flips + gap) / 2), round(size * (flips - gap) / 2)
    return np.repeat([1.0, -1.0, 0.0], [ahead, behind, size - ahead - behind])


def orders(base, count, seed):
    chance = np.random.default_rng(seed)
    return (chance.permutation(base) for _ in range(count))


def at_most(rate, count):
    """The largest number of events that a rate allows, one-sided at 99.9 % (normal bound)."""
    return rate * count + 3.1 * (rate * (1 - rate) * count) ** 0.5


@pytest.mark.parametrize(
    ("size", "flips", "gap"), [(50, 0.2, -0.04), (164, 0.12, -0.06), (500, 0.3, -0.03), (300, 0.04, -0.02)]
)
def test_a_true_null_is_rarely_rejected_however_often_one_looks(size, flips, gap):
    base, count = population(size, flips, gap), 600
    wrong = sum(exceeds(order, base.mean(), 0.05, size) for order in orders(base, count, seed=size))
    assert wrong <= at_most(0.05, count)


@pytest.mark.parametrize(("flips", "gap"), [(0.1, -0.02), (0.4, -0.05)])
def test_a_true_null_about_the_source_is_rarely_rejected(flips, gap):
    chance, count = np.random.default_rng(7), 500
    shares = [(flips - gap) / 2, 1 - flips, (flips + gap) / 2]
    wrong = sum(exceeds(chance.choice([-1.0, 0.0, 1.0], size=400, p=shares), gap, 0.05) for _ in range(count))
    assert wrong <= at_most(0.05, count)


def test_bounds_cover_the_truth():
    base, count = population(400, 0.25, 0.05), 300
    missed = 0
    for order in orders(base, count, seed=3):
        bounds = anytime_bounds(order[:150], order[:150], 0.05, 400)
        missed += not bounds.low <= base.mean() <= bounds.high
    assert missed <= at_most(0.10, count)


def test_when_all_is_seen_the_gap_is_known():
    base = population(230, 0.2, 0.03)
    for order in orders(base, 20, seed=1):
        bounds = anytime_bounds(order, order, 0.001, 230)
        assert bounds.low == pytest.approx(base.mean(), abs=1e-12)
        assert bounds.high == pytest.approx(base.mean(), abs=1e-12)
        source = anytime_bounds(order, order, 0.05)
        assert source.low < base.mean() < source.high


def test_a_null_that_the_items_left_cannot_save_is_rejected():
    # 10 items, 6 of them won: a total of at most 1 would need more than 4 losses in the 4 left.
    assert exceeds([1.0] * 6, 0.1, 0.01, 10)
    assert not exceeds([1.0] * 5 + [0.0], 0.1, 1e-12, 10)


def test_more_items_never_loosen_a_bound():
    order = next(orders(population(300, 0.3, 0.1), 1, seed=4))
    lows = [anytime_bounds(order[:size], order[:size], 0.05, 300).low for size in (20, 60, 150, 300)]
    assert lows == sorted(lows)


def test_missing_scores_go_the_worst_way():
    seen = [1, 0, 0, 1, 0, 0, 0, 0, 1, 0] * 10
    sure = anytime_bounds(seen, seen, 0.05, 500)
    torn = anytime_bounds([-1, *seen[1:]], [1, *seen[1:]], 0.05, 500)
    assert torn.low < sure.low
    assert torn.high >= sure.high


def test_the_known_sizes_of_a_verdict():
    """True gap 0, margin 2 points, 14,042 items: 1,095 (6 % flips) and 1,815 (12 %) items on average in the notes."""
    for flips, most in ((0.06, 1400), (0.12, 2350)):
        base, needed = population(14042, flips, 0.0), []
        for order in orders(base, 12, seed=11):
            sizes = (size for size in range(100, 14043, 100) if exceeds(order[:size], -0.02, 0.05, 14042))
            needed.append(next(sizes))
        assert np.mean(needed) < most


@pytest.mark.parametrize(
    ("differences", "alpha", "size", "message"),
    [([0.5], 0.05, 10, "-1, 0 or 1"), ([1, 1], 0.05, 1, "population of 1"), ([1], 0.7, 10, "between 0 and 0.5")],
)
def test_nonsense_is_refused(differences, alpha, size, message):
    with pytest.raises(ValueError, match=message):
        anytime_bounds(differences, differences, alpha, size)


def test_one_mixture_for_all():
    assert (BETS[0], BETS[-1]) == (pytest.approx(0.05), pytest.approx(0.7))
    assert anytime_bounds([], [], 0.05, 10).low == -1
