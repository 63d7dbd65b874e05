"""Betting on what a prediction missed: fewer items with a good one, the guarantee kept with any."""

import numpy as np
import pytest

from parity.stats.forecasts import Predicted, learned
from parity.stats.predicted import (
    ppi_interval,
    predicted_bounds,
    predicted_evidence,
    predicted_mean,
    predicted_path,
)
from parity.stats.sequential import first_rejection


def population(size, flips, gap, kept, seed=0):
    """Differences, predictions that agree with a share of `kept` and are shuffled for the rest, and the incumbent."""
    chance = np.random.default_rng(seed)
    ahead, behind = round(size * (flips + gap) / 2), round(size * (flips - gap) / 2)
    difference_I = np.repeat([1.0, -1.0, 0.0], [ahead, behind, size - ahead - behind])
    right_I = np.where(difference_I == 0, chance.random(size) < 0.7, difference_I < 0)
    prediction_I, loose_I = difference_I.copy(), chance.random(size) > kept
    for side in (False, True):
        at = np.flatnonzero(loose_I & (right_I == side))
        prediction_I[at] = chance.permutation(prediction_I[at])
    return difference_I, prediction_I, right_I.astype(float)


def seen_of(difference_I, prediction_I, incumbent_I, order, seen=None):
    """What one earlier run, who differs from the incumbent as predicted, tells of the items seen in this order."""
    earlier, theirs = (prediction_I + incumbent_I)[order], incumbent_I[order]
    candidate = (difference_I + incumbent_I)[order][:seen]
    return learned(candidate, earlier[:, None], theirs)


def items_needed(difference_I, prediction_I, incumbent_I, null, order):
    seen = seen_of(difference_I, prediction_I, incumbent_I, order, 3000)
    path = predicted_path(difference_I[order][:3000], seen, np.floor(null * len(order) + 1e-9))
    return int((path >= np.log(20)).argmax())


def test_a_good_prediction_spares_items():
    """rho .9: at least 1.8 times fewer items at 6 % flips, 2.9 times at 12 %."""
    for flips, spared in ((0.06, 1.8), (0.12, 2.9)):
        difference_I, prediction_I, incumbent_I = population(14_042, flips, 0.0, 0.9)
        assert 0.88 < np.corrcoef(difference_I, prediction_I)[0, 1] < 0.93
        chance, with_it, without = np.random.default_rng(1), [], []
        for _ in range(60):
            order = chance.permutation(14_042)
            with_it.append(items_needed(difference_I, prediction_I, incumbent_I, -0.02, order))
            without.append(first_rejection(difference_I[order], -0.02, 0.05, 14_042))
        assert np.mean(without) > spared * np.mean(with_it)


@pytest.mark.parametrize(
    ("size", "flips", "kept"), [(164, 0.2, 0.9), (500, 0.06, 0.9), (500, 0.3, 0.2), (500, 0.2, 0.0)]
)
def test_a_true_null_is_rarely_rejected_whatever_was_predicted(size, flips, kept):
    difference_I, prediction_I, incumbent_I = population(size, flips, -flips / 2, kept)
    if not kept:
        prediction_I = np.where(difference_I == 0, prediction_I, -difference_I)
        prediction_I = np.clip(prediction_I, -incumbent_I, 1 - incumbent_I)
    chance, count = np.random.default_rng(size), 500
    wrong = 0
    for _ in range(count):
        order = chance.permutation(size)
        seen = seen_of(difference_I, prediction_I, incumbent_I, order)
        wrong += predicted_evidence(difference_I[order], seen, difference_I.mean()) >= np.log(20)
    assert wrong <= 0.05 * count + 3.1 * (0.05 * 0.95 * count) ** 0.5


def test_a_true_null_is_rarely_rejected_when_several_runs_are_learned_from():
    """Runs of other models, fitted anew as items come in; graded by how hard an item is."""
    chance, size, count, wrong = np.random.default_rng(6), 250, 400, 0
    ease = chance.normal(0.5, 1.5, size)
    right = chance.random((size, 5)) < 1 / (1 + np.exp(-ease[:, None]))
    earlier, incumbent, candidate = right[:, :3].astype(float), right[:, 3].astype(float), right[:, 4].astype(float)
    for _ in range(count):
        order = chance.permutation(size)
        seen = learned(candidate[order], earlier[order], incumbent[order])
        difference_I = (candidate - incumbent)[order]
        wrong += predicted_evidence(difference_I, seen, difference_I.mean()) >= np.log(20)
    assert wrong <= 0.05 * count + 3.1 * (0.05 * 0.95 * count) ** 0.5


def test_when_all_is_seen_the_gap_is_known_and_before_that_covered():
    difference_I, prediction_I, incumbent_I = population(230, 0.2, 0.03, 0.8)
    order = np.random.default_rng(2).permutation(230)
    whole = seen_of(difference_I, prediction_I, incumbent_I, order)
    bounds = predicted_bounds(difference_I[order], difference_I[order], whole, 0.001)
    assert (bounds.low, bounds.high) == pytest.approx((difference_I.mean(), difference_I.mean()))
    assert predicted_mean(difference_I[order], whole) == pytest.approx(difference_I.mean())
    part = seen_of(difference_I, prediction_I, incumbent_I, order, 100)
    bounds = predicted_bounds(difference_I[order][:100], difference_I[order][:100], part, 0.05)
    assert bounds.low < difference_I.mean() < bounds.high


def test_graded_differences_may_be_predicted():
    chance = np.random.default_rng(4)
    theirs, early = chance.uniform(0, 1, 800), chance.uniform(0, 1, 800)
    ours = np.clip(early + chance.normal(0, 0.05, 800), 0, 1)
    seen = learned(ours[:200], early[:, None], theirs)
    bounds = predicted_bounds((ours - theirs)[:200], (ours - theirs)[:200], seen, 0.05, graded=True)
    assert bounds.low < (ours - theirs).mean() < bounds.high < bounds.low + 0.2
    plain = (ours - theirs)[:200]
    assert bounds.high - bounds.low < 3.3 * plain.std() / 200**0.5


def test_the_estimate_of_one_look_is_corrected_and_narrow():
    difference_I, prediction_I, _ = population(5000, 0.3, 0.02, 0.9)
    order = np.random.default_rng(5).permutation(5000)
    interval = ppi_interval(difference_I[order][:600], prediction_I[order])
    assert interval.low < difference_I.mean() < interval.high
    assert interval.high - interval.low < 0.55 * 2 * 1.96 * (0.3 / 600) ** 0.5
    with pytest.raises(ValueError, match="below 30"):
        ppi_interval([0.0] * 9, np.zeros(50))


def test_predictions_out_of_reach_are_refused():
    with pytest.raises(ValueError, match="at most 1"):
        predicted_evidence([1.0], Predicted(np.array([-1.0]), np.zeros(2), 5), 0.0)
