"""Shares of uncertainty that are known by construction, and the dollar that is best spent."""

import numpy as np
import pytest

from parity.stats.bounded import Units
from parity.stats.budget import CLUSTERS, DRAWS, GOLD, ITEMS, JUDGE, Answers, Prices, budget
from parity.stats.clustered import robust_interval
from parity.stats.judges import JudgeErrors


def variances(found):
    return {source.name: source.variance for source in found.sources}


def test_items_alone_are_the_standard_error_of_the_mean():
    difference_I = np.random.default_rng(0).choice([-1.0, 0.0, 1.0], 400)
    found = budget(Answers(difference_I), Prices())
    assert variances(found) == {ITEMS: pytest.approx(difference_I.var(ddof=1) / 400)}
    assert found.half_width == pytest.approx(1.959964 * difference_I.std(ddof=1) / 20)
    assert found.undrawn
    assert found.next_dollar is None


def test_what_drawing_adds_is_told_from_the_items():
    """Each item has its own chance of a right answer; five draws a side. Expected shares are known."""
    chance, n, draws = np.random.default_rng(1), 20_000, 5
    ours, theirs = chance.beta(2, 1, n), chance.beta(2, 1, n)
    scores = [(chance.random((n, draws)) < side[:, None]).astype(float) for side in (ours, theirs)]
    difference_I = scores[0].mean(axis=1) - scores[1].mean(axis=1)
    drawn_I = sum(side.var(axis=1, ddof=1) / draws for side in scores)
    found = variances(budget(Answers(difference_I, drawn_I, draws), Prices()))
    assert found[ITEMS] == pytest.approx((ours - theirs).var() / n, rel=0.05)
    noise = (ours * (1 - ours) + theirs * (1 - theirs)).mean() / draws
    assert found[DRAWS] == pytest.approx(noise / n, rel=0.05)


def test_copies_of_an_answer_add_nothing_but_clusters():
    difference_C = np.random.default_rng(2).choice([-1.0, 0.0, 0.0, 1.0], 100)
    copies_I, cluster_I = np.repeat(difference_C, 4), np.repeat(np.arange(100), 4)
    found = budget(Answers(copies_I, cluster_I=cluster_I), Prices())
    assert sum(variances(found).values()) == pytest.approx(difference_C.var(ddof=1) / 100, rel=1e-6)
    assert variances(found)[CLUSTERS] == pytest.approx(0.75 * difference_C.var() / 100, rel=0.02)
    robust = robust_interval(Units.of(copies_I, cluster_I))
    # The same variance; that interval reads Student's distribution.
    assert (robust.high - robust.low) / 2 == pytest.approx(found.half_width, rel=0.02)


def test_a_judges_errors_widen_the_corrected_gap_as_much_as_it_varies():
    """Labels and answers drawn anew each time: the corrected gap varies as the budget says."""
    chance, judge_truth, gaps, halves = np.random.default_rng(3), (0.9, 0.8), [], []
    for _ in range(1500):
        right = chance.random((2, 600)) < np.array([[0.5], [0.8]])
        marked = np.where(right, chance.random((2, 600)) < judge_truth[0], chance.random((2, 600)) > judge_truth[1])
        label = np.repeat([1, 0], [60, 40])
        seen = np.where(label == 1, chance.random(100) < judge_truth[0], chance.random(100) > judge_truth[1])
        judge = JudgeErrors.of(seen.astype(int), label)
        found = budget(Answers(marked[0].astype(float) - marked[1]), Prices(), judge)
        gaps.append((marked[0].mean() - marked[1].mean()) / found.attenuation)
        halves.append(found.half_width)
        assert variances(found)[JUDGE] > 0
    assert np.mean(gaps) == pytest.approx(-0.3, abs=0.01)
    assert np.mean(halves) == pytest.approx(1.96 * np.std(gaps), rel=0.08)


def test_wrong_gold_answers_carry_their_share_and_shrink_the_gap():
    difference_I = np.random.default_rng(4).choice([-1.0, 0.0, 1.0], 500)
    found = budget(Answers(difference_I), Prices(), wrong_gold=0.0649)
    assert variances(found)[GOLD] == pytest.approx(0.0649 * difference_I.var(ddof=1) / 500)
    assert found.attenuation == pytest.approx(1 - 0.0649)


def test_the_next_dollar_follows_prices():
    chance = np.random.default_rng(5)
    difference_I = chance.choice([-0.5, 0.0, 0.5], 200)
    drawn_I = np.full(200, 0.08)
    answers = Answers(difference_I, drawn_I, 2.0)
    assert budget(answers, Prices(answer_usd=0.01)).next_dollar.name == ITEMS
    assert budget(Answers(difference_I), Prices(0.01, 0.0001), wrong_gold=0.1).next_dollar.name == GOLD
    judge = JudgeErrors(0.8, 0.7, 20, 20)
    worse = Answers(chance.choice([-1.0, 0.0], 2000), None)
    assert budget(worse, Prices(1.0, 0.5), judge).next_dollar.name == JUDGE
    assert budget(worse, Prices(0.0001, 50.0), judge).next_dollar.name == ITEMS


def test_a_dollar_takes_off_what_it_says():
    """A thousand items more at a tenth of a cent: the derivative against the interval of the larger sample."""
    difference_I = np.tile([-1.0, 0.0, 0.0, 0.0, 1.0], 20_000)
    found = budget(Answers(difference_I), Prices(answer_usd=0.001))
    more = budget(Answers(np.append(difference_I, np.tile([-1.0, 0.0, 0.0, 0.0, 1.0], 200))), Prices())
    assert found.sources[0].per_usd == pytest.approx(found.half_width - more.half_width, rel=0.02)
    tenth = budget(Answers(np.append(difference_I, difference_I[:10_000])), Prices())
    assert found.spend_usd == pytest.approx(10)
    assert found.sources[0].after == pytest.approx(tenth.half_width, rel=1e-3)


def test_nonsense_is_refused():
    with pytest.raises(ValueError, match="1 differences"):
        budget(Answers(np.zeros(1)), Prices())
    with pytest.raises(ValueError, match="no better than chance"):
        budget(Answers(np.zeros(9)), Prices(), JudgeErrors(0.5, 0.4, 10, 10))
