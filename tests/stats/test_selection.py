"""Picking the best of many without being fooled by its luck."""

import numpy as np
import pytest

from parity.stats.selection import certify, choose, halving_rounds


def equals(chance, count, size, flips=0.2):
    """Candidates with no gap at all, each wrong elsewhere."""
    base = np.repeat([1.0, -1.0, 0.0], [round(size * flips / 2)] * 2 + [size - 2 * round(size * flips / 2)])
    return np.array([chance.permutation(base) for _ in range(count)])


def test_rounds_spend_alike_on_fewer():
    assert halving_rounds(32, 32 * 5 * 10) == [10, 20, 40, 80, 160]
    assert halving_rounds(5, 300) == [20, 33, 50]
    with pytest.raises(ValueError, match="too few"):
        halving_rounds(32, 100)


def test_the_luck_of_being_chosen_is_left_behind():
    chance, size, told, believed = np.random.default_rng(0), 4000, [], []
    for _ in range(120):
        differences = equals(chance, 32, size)
        chosen = choose(lambda left, begin, end, d=differences: d[left, begin:end], 32, 12_000)
        assert chosen.answers <= 12_000
        told.append(certify(differences[chosen.best, chosen.items :], chosen, size, 0.05, 0.05, at_least=500).gap)
        believed.append(chosen.total / chosen.items)
    error = np.std(told) / len(told) ** 0.5
    assert abs(np.mean(told)) < 3.3 * error
    assert np.mean(believed) > 5 * error


def test_a_best_that_is_too_bad_is_rarely_certified():
    chance, size, count, wrong = np.random.default_rng(1), 600, 300, 0
    base = np.repeat([1.0, -1.0, 0.0], [30, 60, 510])
    for _ in range(count):
        differences = np.array([chance.permutation(base) for _ in range(8)])
        chosen = choose(lambda left, begin, end, d=differences: d[left, begin:end], 8, 900)
        wrong += certify(differences[chosen.best, chosen.items :], chosen, size, 0.05, 0.05, at_least=100).non_inferior
    assert wrong <= 0.05 * count + 3.1 * (0.05 * 0.95 * count) ** 0.5


def test_the_better_one_wins_and_is_certified():
    chance, size = np.random.default_rng(2), 5000
    differences = equals(chance, 16, size)
    differences[11] = np.maximum(differences[11], 0.0)
    differences[11] = chance.permutation(differences[11])
    chosen = choose(lambda left, begin, end: differences[left, begin:end], 16, 8_000)
    found = certify(differences[11, chosen.items :], chosen, size, 0.02, 0.05, at_least=300)
    assert (chosen.best, found.non_inferior, found.superior) == (11, True, True)
    assert found.items < 1000
    assert found.gap == pytest.approx(0.1, abs=0.04)


def test_one_candidate_is_certified_on_all_items():
    chosen = choose(lambda left, begin, end: np.zeros((len(left), end - begin)), 1, 10)
    assert (chosen.best, chosen.items, chosen.answers) == (0, 0, 0)
    with pytest.raises(ValueError, match="fresh items"):
        certify(np.zeros(20), chosen, 100, 0.05, 0.05, at_least=50)
