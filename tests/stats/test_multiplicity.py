"""Several claims at once: against statsmodels, and by simulation where claims depend on each other."""

import numpy as np
import pytest
from scipy.stats import norm
from statsmodels.stats.multitest import multipletests

from parity.stats.multiplicity import e_bh, e_bonferroni, expected_best, fixed_sequence, holm, intersection_union


@pytest.mark.parametrize("seed", range(5))
def test_holm_is_statsmodels(seed):
    p = np.random.default_rng(seed).random(12) ** 2
    assert holm(p) == pytest.approx(multipletests(p, method="holm")[1])


def test_all_hold_when_the_worst_does():
    assert intersection_union([0.01, 0.04, 0.02]) == 0.04
    with pytest.raises(ValueError, match="no claims"):
        intersection_union([])
    with pytest.raises(ValueError, match="p-values"):
        holm([1.2])


def test_nothing_is_claimed_behind_the_first_that_fails():
    assert fixed_sequence([True, True, False, True]).tolist() == [True, True, False, False]
    assert fixed_sequence([False, True]).tolist() == [False, False]
    assert fixed_sequence([]).tolist() == []


def test_a_fixed_sequence_needs_no_correction_and_beats_holm_where_losses_grow():
    """Losses on both sides of the margin, tests correlated as on shared items: false claims stay below alpha."""
    chance, alpha, rounds = np.random.default_rng(0), 0.05, 4000
    distance = np.array([4.0, 3.0, 2.5, 0.0, -0.5, -2.0])  # from the margin, in standard errors; the last three are bad
    false = np.zeros(2)
    found = np.zeros(2)
    for _ in range(rounds):
        z = distance + 0.9 * chance.normal() + np.sqrt(1 - 0.81) * chance.normal(size=6)
        p = norm.sf(z)
        for at, claimed in enumerate((fixed_sequence(p <= alpha), holm(p) <= alpha)):
            false[at] += claimed[3:].any()
            found[at] += claimed[:3].sum()
    assert false[0] / rounds <= alpha + 3 * np.sqrt(alpha * (1 - alpha) / rounds)
    assert found[0] > found[1]


def test_e_values():
    logs = np.log([1.0, 90.0, 45.0, 200.0])
    assert e_bonferroni(logs, 0.05).tolist() == [False, True, False, True]
    assert e_bh(logs, 0.05).tolist() == [False, True, True, True]
    assert not e_bh(np.log([19.0]), 0.05).any()
    assert e_bh([], 0.05).tolist() == []


def test_e_bh_keeps_its_share_of_false_claims_under_dependence():
    """All null e-values are copies of one: the worst dependence."""
    chance, rates = np.random.default_rng(0), []
    for _ in range(3000):
        z = chance.normal()
        null, real = np.full(8, 2 * z - 2), 2 * (chance.normal(size=2) + 3) - 2
        claimed = e_bh(np.concatenate((null, real)), 0.1)
        rates.append(claimed[:8].sum() / max(1, claimed.sum()))
    assert np.mean(rates) <= 0.1


def test_the_best_of_equals_looks_ahead():
    printed = {2: 0.57, 4: 1.03, 8: 1.42, 16: 1.77, 32: 2.07}
    assert expected_best(1) == pytest.approx(0, abs=1e-9)
    assert {k: expected_best(k) for k in printed} == pytest.approx(printed, abs=0.0061)
