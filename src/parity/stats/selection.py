"""The best of many candidates, found on shared items and certified on fresh ones.

Knows how to spend few items on the many and more on the few left (sequential halving), and how to speak about the
winner without the luck that made it win. Refuses to know models. The best of 16 equals looks 1.8 standard errors ahead
on the items it was chosen on; on items drawn afterwards it does not.

Sources: Karnin, Koren & Somekh 2013, ICML (sequential halving); betting without replacement as in `sequential`.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from parity.stats.sequential import first_rejection

FloatArray = NDArray[np.float64]
# Differences of some candidates (rows) on items from one place in the random order to another.
Ask = Callable[[Sequence[int], int, int], FloatArray]


@dataclass(frozen=True, slots=True)
class Chosen:
    """The winner, how many items of the random order chose it, and how many answers of candidates that took."""

    best: int
    items: int
    answers: int
    total: float


@dataclass(frozen=True, slots=True)
class Certified:
    """What fresh items say of the winner; `gap` is of the whole population and free of the luck of being chosen.

    `items`: fresh items asked. `non_inferior`, `superior` hold at `alpha` whatever was chosen and why.
    """

    gap: float
    items: int
    non_inferior: bool
    superior: bool
    alpha: float


def halving_rounds(candidates: int, answers: int) -> list[int]:
    """New items a round: every round spends the same number of answers on half as many candidates.

    Raises:
        ValueError: fewer answers than one item for everyone in every round.
    """
    rounds = max(1, math.ceil(math.log2(candidates)))
    sizes, left = [], candidates
    for _ in range(rounds):
        sizes.append(answers // (rounds * left))
        left = math.ceil(left / 2)
    if min(sizes) < 1:
        raise ValueError(f"{answers} answers are too few to compare {candidates} candidates in {rounds} rounds")
    return sizes


def choose(ask: Ask, candidates: int, answers: int) -> Chosen:
    """Halve the field round by round, by the mean of all shared items so far; ties go to the earlier candidate.

    Raises:
        ValueError: no candidates or too few answers.
    """
    if candidates < 1:
        raise ValueError("no candidates")
    left, totals, begin, asked = list(range(candidates)), np.zeros(candidates), 0, 0
    for size in halving_rounds(candidates, answers) if candidates > 1 else [0]:
        totals[left] += ask(left, begin, begin + size).sum(axis=1) if size else 0.0
        begin, asked = begin + size, asked + size * len(left)
        left = sorted(left, key=lambda candidate: (-totals[candidate], candidate))[: math.ceil(len(left) / 2)]
    return Chosen(left[0], begin, asked, float(totals[left[0]]))


def certify(
    fresh_I: FloatArray, chosen: Chosen, population: int, margin: float, alpha: float, at_least: int = 1_000
) -> Certified:
    """Bet on fresh items that the winner is within the margin, knowing what the items that chose it were worth.

    `fresh_I`: its differences (-1, 0 or 1) on the items after those, in random order; asked until NON_INFERIOR or their
    end, but `at_least` so many. The estimate reads the first `at_least` only: a mean at a chosen stop is biased.

    Raises:
        ValueError: fewer fresh items than `at_least`, or more than are left.
    """
    left = population - chosen.items
    if not at_least <= len(fresh_I) <= left:
        raise ValueError(f"{len(fresh_I)} fresh items of {left}; at least {at_least} are needed")
    found = first_rejection(fresh_I, _rest(-margin, chosen, population), alpha, left)
    items = len(fresh_I) if found is None else max(found, at_least)
    ahead = first_rejection(fresh_I[:items], _rest(0.0, chosen, population), alpha, left)
    estimate = (chosen.total + left * float(fresh_I[:at_least].mean())) / population
    return Certified(estimate, items, found is not None, ahead is not None, alpha)


def _rest(mean: float, chosen: Chosen, population: int) -> float:
    """The mean of the items left, where the population's mean is `mean`, in whole items."""
    return (math.floor(mean * population + 1e-9) - chosen.total) / (population - chosen.items)
