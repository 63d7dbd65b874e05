"""Exact unconditional inference for the paired difference when items are few.

Knows: every table (b, c) that n items can give, and its trinomial probability at every nuisance value.
Refuses to know: large samples; the work grows with n squared, and above 100 items it refuses.

Tables are ordered by Tango's score at the difference under test; a p-value is the largest probability, over the
nuisance parameter, of a table at least as extreme as the one seen. Source: Chan & Zhang 1999, Biometrics 55:1202-1209
(two one-sided exact unconditional inversions), with the statistic of Tango 1998.
"""

from __future__ import annotations

from typing import Literal

import numpy as np
from numpy.typing import NDArray

from parity.stats.distributions import log_factorial
from parity.stats.intervals import Interval, check_confidence
from parity.stats.paired import PairedCounts, tango_scores

EXACT = "exact unconditional"
MAX_ITEMS = 100
# Tables whose score differs by rounding alone are tied, and ties count as extreme.
TIE = 1e-9
NUISANCE_POINTS, REFINEMENTS = 65, 3
DIFFERENCE_POINTS, BISECTIONS = 201, 30

FloatArray = NDArray[np.float64]
Side = Literal["greater", "less"]


def exact_p_value(counts: PairedCounts, difference: float, side: Side) -> float:
    """P-value of H0 gap <= difference (side "greater") or gap >= difference (side "less"), exact for every n.

    The supremum over the nuisance parameter is searched on a grid and refined around its best point.

    Raises:
        ValueError: difference outside [-1, 1] or more than 100 items.
    """
    if not -1 <= difference <= 1:
        raise ValueError(f"difference is {difference}; a gap between two accuracies is a fraction in [-1, 1]")
    if counts.n > MAX_ITEMS:
        raise ValueError(f"{counts.n} items; exact tests stop at {MAX_ITEMS}, use tango_interval")
    if side == "less":
        counts, difference = counts.swapped, -difference
    b_X, c_X = _tables(counts.n)
    score_X = tango_scores(b_X, c_X, counts.n, difference)
    seen = float(tango_scores(counts.only_candidate, counts.only_incumbent, counts.n, difference))
    extreme_X = score_X >= seen - TIE
    return _supremum(b_X[extreme_X], c_X[extreme_X], counts.n, difference)


def exact_interval(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """All differences that neither one-sided exact test rejects at (1 - confidence) / 2; fractions in [-1, 1].

    Where the p-value is not monotone in the difference, the outermost difference that is not rejected is the end.

    Raises:
        ValueError: confidence outside (0, 1) or more than 100 items.
    """
    check_confidence(confidence)
    level = (1 - confidence) / 2
    return Interval(-_upper(counts.swapped, level), _upper(counts, level), confidence, EXACT)


def _upper(counts: PairedCounts, level: float) -> float:
    """The largest difference that "less" does not reject at `level`."""
    grid = np.linspace(counts.gap, 1.0, DIFFERENCE_POINTS)
    for index in range(DIFFERENCE_POINTS - 1, -1, -1):
        if exact_p_value(counts, float(grid[index]), "less") > level:
            break
    if index == DIFFERENCE_POINTS - 1:
        return 1.0
    inside, outside = float(grid[index]), float(grid[index + 1])
    for _ in range(BISECTIONS):
        middle = (inside + outside) / 2
        if exact_p_value(counts, middle, "less") > level:
            inside = middle
        else:
            outside = middle
    return outside


def _tables(n: int) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
    """Every (b, c) with b + c <= n, each of shape (X,)."""
    b, c = np.meshgrid(np.arange(n + 1), np.arange(n + 1), indexing="ij")
    possible = b + c <= n
    return b[possible], c[possible]


def _supremum(b_X: NDArray[np.int64], c_X: NDArray[np.int64], n: int, difference: float) -> float:
    """Largest P(tables X) over P(only incumbent right) = q, P(only candidate right) = q + difference."""
    low, high = max(0.0, -difference), (1 - difference) / 2
    best = 0.0
    for _ in range(REFINEMENTS):
        q_Q = np.linspace(low, high, NUISANCE_POINTS)
        p_Q = _probability(b_X, c_X, n, q_Q, difference)
        at = int(p_Q.argmax())
        best = max(best, float(p_Q[at]))
        low, high = float(q_Q[max(at - 1, 0)]), float(q_Q[min(at + 1, NUISANCE_POINTS - 1)])
    return min(1.0, best)


def _probability(
    b_X: NDArray[np.int64], c_X: NDArray[np.int64], n: int, q_Q: FloatArray, difference: float
) -> FloatArray:
    """Trinomial probability of the tables X at each nuisance value, shape (Q,)."""
    rest_X = n - b_X - c_X
    weight_X = log_factorial(np.asarray(n)) - log_factorial(b_X) - log_factorial(c_X) - log_factorial(rest_X)
    only_candidate_Q = np.clip(q_Q + difference, 0.0, 1.0)
    rest_Q = np.clip(1.0 - q_Q - only_candidate_Q, 0.0, 1.0)
    with np.errstate(divide="ignore"):
        logs = [np.log(p_Q) for p_Q in (only_candidate_Q, q_Q, rest_Q)]
    total_QX = np.broadcast_to(weight_X, (len(q_Q), len(b_X))).copy()
    for log_Q, count_X in zip(logs, (b_X, c_X, rest_X), strict=True):
        # 0 * log 0 is 0: a cell that cannot happen and did not costs nothing.
        total_QX += np.where(count_X == 0, 0.0, count_X * np.maximum(log_Q, -1e30)[:, None])
    return np.asarray(np.exp(total_QX).sum(axis=1), dtype=np.float64)
