"""Learning what a candidate will score: never from the item itself, and better than the best single run."""

import numpy as np
import pytest

from parity.stats.forecasts import BELIEVED, CORNERS, learned


def models(size, count, seed=0):
    """Scores of `count` earlier models, an incumbent and a candidate on items of differing difficulty."""
    chance = np.random.default_rng(seed)
    ease = chance.normal(0.8, 1.6, size)
    skill = np.concatenate((chance.normal(0, 0.5, count), [0.6, 0.2]))
    right = chance.random((size, count + 2)) < 1 / (1 + np.exp(-(ease[:, None] + skill)))
    return right[:, :count].astype(float), right[:, count].astype(float), right[:, count + 1].astype(float)


def test_one_run_of_right_and_wrong_is_predicted_by_the_shares_in_four_kinds_of_items():
    earlier, incumbent, candidate = models(300, 1)
    found = learned(candidate[:200], earlier, incumbent)
    for at in (0, 7, 199):
        alike = (earlier[:at, 0] == earlier[at, 0]) & (incumbent[:at] == incumbent[at])
        prior = CORNERS[int(earlier[at, 0] + 2 * incumbent[at])]
        share = (candidate[:at][alike].sum() + BELIEVED * prior) / (alike.sum() + BELIEVED)
        assert found.prediction_I[at] == pytest.approx(share - incumbent[at])


@pytest.mark.parametrize("runs", [1, 6])
def test_an_item_is_never_predicted_from_itself_or_what_comes_later(runs):
    earlier, incumbent, candidate = models(260, runs)
    found = learned(candidate, earlier, incumbent)
    for at in (0, 31, 32, 70, 200):
        changed = candidate.copy()
        changed[at:] = 1 - changed[at:]
        again = learned(changed, earlier, incumbent)
        assert (again.prediction_I[: at + 1] == found.prediction_I[: at + 1]).all()
        assert (again.ahead_I[: at + 1] == found.ahead_I[: at + 1]).all()
        shorter = learned(candidate[: at + 1], earlier, incumbent)
        assert shorter.prediction_I == pytest.approx(found.prediction_I[: at + 1])


@pytest.mark.parametrize("runs", [1, 5])
def test_what_is_predicted_ahead_is_the_mean_of_the_very_predictions_that_hold(runs):
    """Else the bet is not fair: at every step the items left are as many draws with these predictions."""
    earlier, incumbent, candidate = models(120, runs, seed=3)
    for seen in (1, 40, 90):
        found = learned(candidate[:seen], earlier, incumbent)
        # Each item left, put next in the order, gets the prediction that holds then.
        each = []
        for item in range(seen, 120):
            order = [*range(seen), item, *(other for other in range(seen, 120) if other != item)]
            after = learned(candidate[order][: seen + 1], earlier[order], incumbent[order])
            each.append(after.prediction_I[seen])
        # A fit that is due now is made when the next item is asked for.
        after = learned(candidate[: seen + 1], earlier, incumbent)
        assert after.ahead_I[seen] == pytest.approx(np.mean(each), abs=1e-12)
        if runs == 1:
            assert found.ahead_I[seen] == pytest.approx(after.ahead_I[seen])


def test_several_runs_together_predict_better_than_the_best_of_them():
    earlier, incumbent, candidate = models(4000, 8, seed=2)
    missed = {}
    for name, columns in {"all": slice(None), **{str(k): [k] for k in range(8)}}.items():
        found = learned(candidate, earlier[:, columns], incumbent)
        missed[name] = np.mean((candidate - incumbent - found.prediction_I)[500:] ** 2)
    assert missed.pop("all") < 0.9 * min(missed.values())


def test_graded_forecasts_are_corrected_by_least_squares():
    chance = np.random.default_rng(5)
    ability = chance.uniform(0, 1, 3000)
    candidate = (chance.random(3000) < ability).astype(float)
    found = learned(candidate, ability[:, None], np.zeros(3000))
    assert np.abs(found.prediction_I[2000:] - ability[2000:]).max() < 0.06


def test_missing_scores_teach_nothing_and_stay_within_reach():
    earlier, incumbent, candidate = models(200, 3)
    incumbent[::7], candidate[::5], earlier[::4, 0] = np.nan, np.nan, np.nan
    found = learned(candidate, earlier, incumbent)
    assert (found.prediction_I[::7] == 0).all()
    for worst, best in ((0.0, 1.0),):
        low = np.nan_to_num(candidate, nan=worst) - np.nan_to_num(incumbent, nan=best)
        high = np.nan_to_num(candidate, nan=best) - np.nan_to_num(incumbent, nan=worst)
        assert (np.abs(low - found.prediction_I) <= 1).all()
        assert (np.abs(high - found.prediction_I) <= 1).all()


def test_scores_that_do_not_fit_are_refused():
    with pytest.raises(ValueError, match="do not fit"):
        learned([1.0], np.zeros((3, 1)), np.zeros(4))
    with pytest.raises(ValueError, match="outside"):
        learned([2.0], np.zeros((3, 1)), np.zeros(3))
