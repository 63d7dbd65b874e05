"""Many random orders of paired differences at once, item by item: when each would have been decided.

What `parity.stats.sequential` does for one order is done here for thousands side by side; `checked` holds the first
few against it, so that what is simulated is what is shipped.
"""

import math

import numpy as np
from numpy.typing import NDArray

from parity.stats.sequential import BETS, first_rejection

Array = NDArray[np.float64]
Chance = np.random.Generator
# Orders times bets at once: what the processor's cache holds. Wealth below the least is as good as lost.
_BLOCK, _LEAST, _SWEEP = 20_000, 1e-200, 128
_CHECKED = 8


def population(size: int, flips: float, gap: float) -> Array:
    """Differences of `size` items with about that share of flips and a gap of at most `gap`, in whole items."""
    lost = math.ceil(-gap * size - 1e-9)
    flipped = max(round(flips * size), lost)
    ahead = (flipped - lost) // 2
    return np.repeat([1.0, -1.0, 0.0], [ahead, ahead + lost, size - 2 * ahead - lost])


def orders_of(base_I: Array, count: int, chance: Chance) -> Array:
    """Random orders of a population, shape (count, items)."""
    return chance.permuted(np.tile(base_I, (count, 1)), axis=1)


def drawn(size: int, flips: float, gap: float, count: int, chance: Chance) -> Array:
    """Samples of a source with this gap, shape (count, size)."""
    shares = [(flips - gap) / 2, 1 - flips, (flips + gap) / 2]
    return chance.choice([-1.0, 0.0, 1.0], p=shares, size=(count, size))


def crossings(won_RI: Array, fair_RI: Array, alpha: float, bets: Array = BETS) -> NDArray[np.int64]:
    """Items after which each order's wealth reached 1 / alpha; -1 where it never did. Shapes (R, I) and (R, I + 1)."""
    found, at_once = np.full(len(won_RI), -1), max(1, _BLOCK // len(bets))
    for begin in range(0, len(won_RI), at_once):
        part = slice(begin, begin + at_once)
        found[part] = _crossings(won_RI[part].T.copy(), fair_RI[part].T.copy(), alpha, bets)
    return found


def _crossings(won_IR: Array, fair_IR: Array, alpha: float, bets: Array) -> NDArray[np.int64]:
    """As `crossings`, item by item over all orders that are still open."""
    found = np.full(won_IR.shape[1], -1)
    odds_IR = np.divide(won_IR, fair_IR[:-1], out=np.ones_like(won_IR), where=fair_IR[:-1] > 1e-9) - 1
    open_R = np.arange(won_IR.shape[1])
    wealth_BR = np.full((len(bets), len(open_R)), 1 / len(bets))
    for at in range(len(won_IR)):
        wealth_BR *= 1 + bets[:, None] * odds_IR[at][open_R]
        over_R = (wealth_BR.sum(axis=0) >= 1 / alpha) | (fair_IR[at + 1][open_R] < -1e-9)
        if over_R.any():
            found[open_R[over_R]] = at + 1
            open_R, wealth_BR = open_R[~over_R], wealth_BR[:, ~over_R]
            if not len(open_R):
                break
        if at % _SWEEP == 0:
            wealth_BR[wealth_BR < _LEAST] = 0.0
    return found


def rejections(
    differences_RI: Array, null: float, alpha: float, population_size: int | None = None
) -> NDArray[np.int64]:
    """`first_rejection` of every order; -1 for none. The first few are checked against it.

    Raises:
        AssertionError: the two do not agree.
    """
    count, size = differences_RI.shape
    won_RI = (differences_RI + 1) / 2
    if population_size is None:
        fair_RI = np.full((count, size + 1), (null + 1) / 2)
    else:
        total = (math.floor(null * population_size + 1e-9) + population_size) / 2
        left_RI = total - np.concatenate((np.zeros((count, 1)), np.cumsum(won_RI, axis=1)), axis=1)
        items_I = population_size - np.arange(size + 1)
        fair_RI = left_RI / np.maximum(items_I, 1)
        if size == population_size:
            fair_RI[:, -1] = np.where(left_RI[:, -1] < -1e-9, -1.0, 0.0)
    found = crossings(won_RI, fair_RI, alpha)
    for order in range(min(count, _CHECKED)):
        alone = first_rejection(differences_RI[order], null, alpha, population_size)
        assert found[order] == (-1 if alone is None else alone), (order, found[order], alone)
    return found


def items_needed(differences_RI: Array, null: float, alpha: float, population_size: int | None = None) -> Array:
    """Items until the null is rejected; all of them where it is not."""
    found = rejections(differences_RI, null, alpha, population_size)
    return np.where(found < 0, differences_RI.shape[1], found).astype(np.float64)
