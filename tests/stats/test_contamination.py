"""Clean models are caught at most alpha of the time, whatever they like; models that know the test are caught."""

import numpy as np
import pytest
from scipy.stats import ttest_1samp

from parity.stats.contamination import order_test, shuffle_test


def most(count, alpha=0.05):
    return alpha * count + 3.1 * (alpha * (1 - alpha) * count) ** 0.5


def test_the_t_test_over_shards_is_scipys():
    chance = np.random.default_rng(0)
    published, shuffled = chance.normal(0.4, 1, 12), chance.normal(0, 1, (12, 9))
    found = order_test(published, shuffled)
    told = ttest_1samp(published - shuffled.mean(axis=1), 0, alternative="greater")
    assert found.p_t == pytest.approx(told.pvalue, rel=1e-9)
    assert found.ahead == pytest.approx((published - shuffled.mean(axis=1)).mean())


def test_ranks_are_counted_exactly():
    """Two shards, two orders: of nine pairs of ranks one adds up to 4, three to 3 or more, six to 2 or more."""
    assert order_test([9.0, 9.0], [[1, 2], [1, 2]]).p == pytest.approx(1 / 9)
    assert order_test([9.0, 1.5], [[1, 2], [1, 2]]).p == pytest.approx(3 / 9)
    assert order_test([1.5, 1.5], [[1, 2], [1, 2]]).p == pytest.approx(6 / 9)
    assert order_test([1.0, 1.0], [[1, 1], [1, 1]]).p == pytest.approx(1)


@pytest.mark.parametrize("shards", [2, 5, 20])
def test_a_model_that_never_saw_the_order_is_rarely_caught(shards):
    """Shards differ in length and have heavy tails: ranks do not care."""
    chance, count = np.random.default_rng(shards), 2_000
    value = chance.standard_t(2, (count, shards, 11)) * chance.uniform(1, 50, (1, shards, 1)) - 500
    caught = sum(order_test(each[:, 0], each[:, 1:]).p < 0.05 for each in value)
    assert 0 < caught <= most(count) or shards == 2


def test_runs_of_two_items_have_two_orders_and_are_caught_no_oftener():
    """Drawn orders repeat each other and the published one; ties count against it."""
    chance, count, caught = np.random.default_rng(9), 1_500, 0
    for _ in range(count):
        value_S2 = chance.normal(size=(6, 2))
        drawn_SP = np.take_along_axis(value_S2, chance.integers(0, 2, (6, 5)), axis=1)
        caught += order_test(value_S2[:, 0], drawn_SP).p < 0.05
    assert caught <= most(count)


def test_a_small_head_start_in_many_shards_is_enough():
    chance = np.random.default_rng(3)
    value = chance.normal(0, 1, (40, 11))
    assert order_test(value[:, 0] + 1, value[:, 1:]).p < 1e-4


@pytest.mark.parametrize("liking", [0.0, 0.3, 0.9])
def test_a_model_that_likes_a_letter_is_not_taken_for_one_that_knows_the_places(liking):
    """Right letters are spread alike, so that a liking for D wins and loses the same items' share."""
    chance, count, caught = np.random.default_rng(7), 600, 0
    gold = np.repeat(np.arange(4), [20, 25, 30, 75])
    for _ in range(count):
        knows = chance.random(150) < 0.5
        moved = chance.permutation(gold)
        scores = [np.where(chance.random(150) < liking, place == 3, knows) for place in (gold, moved)]
        caught += shuffle_test(scores[0].astype(float), scores[1].astype(float)).p < 0.05
    assert caught <= most(count)


def test_known_places_are_caught():
    chance = np.random.default_rng(8)
    knows = chance.random(300)
    found = shuffle_test((knows < 0.8).astype(float), (knows < 0.65).astype(float))
    assert found.p < 0.001
    assert found.fall == pytest.approx(0.15, abs=0.05)
    assert 0 < found.low < found.fall


def test_too_little_is_refused():
    with pytest.raises(ValueError, match="at least 2 shards"):
        order_test([1.0], [[0.0]])
    with pytest.raises(ValueError, match="finite"):
        order_test([1.0, np.nan], [[0.0], [0.0]])
    with pytest.raises(ValueError, match="at least 30"):
        shuffle_test([1.0] * 9, [1.0] * 9)
    with pytest.raises(ValueError, match="outside"):
        shuffle_test([2.0] * 30, [1.0] * 30)
