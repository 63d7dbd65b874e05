"""Several claims at once: how many of them may be made together.

Knows p-values and e-values of claims. Refuses to know where they come from. "All of them" (intersection-union) needs no
correction; "which of them" does (Holm), unless their order was fixed before (fixed sequence); e-values may depend on
each other in any way (e-BH).
"""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import normal_cdf


def holm(p_values_K: ArrayLike) -> NDArray[np.float64]:
    """Adjusted p-values: those at most alpha may be claimed together, any of them false with probability <= alpha.

    Source: Holm 1979, Scandinavian Journal of Statistics 6:65-70.

    Raises:
        ValueError: a p-value outside [0, 1].
    """
    p_K = _checked(p_values_K)
    order_K = np.argsort(p_K, kind="stable")
    steps_K = np.maximum.accumulate(p_K[order_K] * np.arange(len(p_K), 0, -1))
    adjusted_K = np.empty_like(p_K)
    adjusted_K[order_K] = np.minimum(steps_K, 1.0)
    return adjusted_K


def intersection_union(p_values_K: ArrayLike) -> float:
    """P-value of "every claim is true": the largest; each claim is tested at full alpha, without correction.

    Source: Berger 1982, Technometrics 24:295-300.

    Raises:
        ValueError: no p-values, or one outside [0, 1].
    """
    p_K = _checked(p_values_K)
    if not len(p_K):
        raise ValueError("no claims")
    return float(p_K.max())


def fixed_sequence(passed_K: ArrayLike) -> NDArray[np.bool_]:
    """Which claims may be made of tests in an order fixed before the data, each at full alpha: those before the first
    that fails. Any of them is false with probability <= alpha, however the tests depend on each other.

    Proof: let k be the first false claim in the order. A false claim is made only if every test up to it passed, so
    only if test k passed, which has probability <= alpha; no other event matters.
    Source: Maurer, Hothorn & Lehmacher 1995, Biometrie in der chemisch-pharmazeutischen Industrie 6:3-18;
    Westfall & Krishen 2001, J. Statistical Planning and Inference 99:25-40.
    """
    return np.asarray(np.logical_and.accumulate(np.asarray(passed_K, dtype=np.bool_)))


def e_bonferroni(log_e_values_K: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Which claims may be made so that any is false with probability <= alpha: e-value at least K / alpha.

    Source: Vovk & Wang 2021, Annals of Statistics 49:1736-1754.
    """
    log_e_K = np.asarray(log_e_values_K, dtype=np.float64)
    return np.asarray(log_e_K >= np.log(len(log_e_K) / alpha)) if len(log_e_K) else np.zeros(0, dtype=np.bool_)


def e_bh(log_e_values_K: ArrayLike, alpha: float) -> NDArray[np.bool_]:
    """Which claims may be made so that the expected share of false ones is <= alpha, however they depend on each other.

    The k largest e-values are claimed, k the most such that each is at least K / (k alpha).
    Source: Wang & Ramdas 2022, JRSS B 84:822-852.
    """
    log_e_K = np.asarray(log_e_values_K, dtype=np.float64)
    count = len(log_e_K)
    order_K = np.argsort(-log_e_K, kind="stable")
    enough_K = np.flatnonzero(log_e_K[order_K] >= np.log(count / (alpha * np.arange(1, count + 1))))
    claimed_K = np.zeros(count, dtype=np.bool_)
    if len(enough_K):
        claimed_K[order_K[: enough_K[-1] + 1]] = True
    return claimed_K


def expected_best(candidates: int) -> float:
    """Mean of the largest of K standard normal numbers: how far the best of K equals looks ahead, in standard errors.

    Source: order statistics; integral of 1 - Phi(x)^K - (1 - Phi(x))^K over x > 0 and its mirror, by trapezoid rule.

    Raises:
        ValueError: fewer than one candidate.
    """
    if candidates < 1:
        raise ValueError(f"{candidates} candidates")
    x = np.linspace(0, 12, 4801)
    above, below = normal_cdf(x), normal_cdf(-x)
    return float(np.trapezoid((1 - above**candidates) - below**candidates, x))


def _checked(p_values_K: ArrayLike) -> NDArray[np.float64]:
    p_K = np.asarray(p_values_K, dtype=np.float64)
    if p_K.ndim != 1 or not ((p_K >= 0) & (p_K <= 1)).all():
        raise ValueError("p-values are one row of numbers in [0, 1]")
    return p_K
