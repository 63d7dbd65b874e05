"""Verdicts that may be looked at after every item: bets against the null, and the bounds they leave standing.

Knows paired differences in the order they were seen, which must be random: -1, 0 or 1 of right and wrong, or anything
between of graded scores. Two estimands, never mixed: the mean of a finite population sampled without replacement
("these items"; certain once all are seen), and the mean of the source they are drawn from ("future ones like these").

A bettor against "the total is at most B" starts with 1 and stakes a share of it on every next difference at odds that
are fair under the null; what he owns exceeds 1 / alpha with probability at most alpha, at any time and however often
one looks (Ville 1939). Sources: Waudby-Smith & Ramdas, arXiv 2006.04347 (without replacement), 2010.09686 (betting).
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

ANYTIME = "confidence sequence"
METHOD_ITEMS = f"{ANYTIME}, these items"
METHOD_FUTURE = f"{ANYTIME}, future items like these"
# Shares of the largest allowed bet, spread evenly in the logarithm; one mixture for all (docs/decisions/verdicts.md).
BETS = np.geomspace(0.05, 0.70, 40)
_BISECTIONS = 40
_ROUNDING = 1e-9
_FIRST = 1_500


@dataclass(frozen=True, slots=True)
class AnytimeBounds:
    """Bounds of the mean difference as fractions, each one-sided at its own `alpha`, valid at any stopping time."""

    low: float
    high: float
    alpha: float
    method: str


def anytime_bounds(
    worst_I: ArrayLike, best_I: ArrayLike, alpha: float, population: int | None = None, graded: bool = False
) -> AnytimeBounds:
    """Bounds after all differences so far; `worst_I` and `best_I` differ where a score is missing.

    `population` is the number of items there are (None: an endless source). Shapes (I,), in the order of asking.
    `graded` says that differences may be anything in [-1, 1], those not yet seen too.

    Raises:
        ValueError: a difference out of its range, more of them than the population, or alpha outside (0, 0.5).
    """
    worst, best = _differences(worst_I, population, graded), _differences(best_I, population, graded)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is a chance between 0 and 0.5")
    method = METHOD_FUTURE if population is None else METHOD_ITEMS
    low, high = (_low_of(differences, alpha, population, graded) for differences in (worst, -best))
    return AnytimeBounds(low, -high, alpha, method)


def unit_bounds(
    worst_U: ArrayLike, best_U: ArrayLike, size_U: ArrayLike, alpha: float, largest: float | None = None
) -> AnytimeBounds:
    """Bounds of the mean difference per item of an endless source of units (clusters of items), units in random order.

    A unit is one bet. Against a mean d, smaller units are filled up to the largest size with items at d: then every
    unit's mean is d under the null, and lies in [-1, 1]. Shapes (U,): sums of differences as bad and as good as they
    may be, numbers of items; `largest` is the size no unit exceeds (the largest seen, if not given).

    Raises:
        ValueError: totals their sizes cannot reach, sizes above the largest, or alpha outside (0, 0.5).
    """
    worst, best, size = (np.asarray(each, dtype=np.float64) for each in (worst_U, best_U, size_U))
    top = largest if largest is not None else float(size.max(initial=1.0))
    if not (np.abs((worst, best)) <= size * (1 + 1e-12)).all() or not (size <= top).all() or not 0 < alpha < 0.5:
        raise ValueError("units hold totals within their sizes, and alpha lies between 0 and 0.5")
    low, high = _low(worst / top, alpha, size / top), _low(-best / top, alpha, size / top)
    return AnytimeBounds(low, -high, alpha, METHOD_FUTURE)


def unit_evidence(total_U: ArrayLike, size_U: ArrayLike, mean: float, largest: float | None = None) -> float:
    """Log of the largest wealth so far against "the source's mean per item is at most `mean`", units as bets."""
    total, size = np.asarray(total_U, dtype=np.float64), np.asarray(size_U, dtype=np.float64)
    top = largest if largest is not None else float(size.max(initial=1.0))
    return _wealth(total / top + (1 - size / top) * mean, mean, None)


def log_evidence(differences_I: ArrayLike, mean: float, population: int | None = None, graded: bool = False) -> float:
    """Log of the largest wealth so far against "the mean is at most `mean`"; e to its minus is an anytime p-value."""
    differences = _differences(differences_I, population, graded)
    if population is None:
        return _wealth(differences, mean, None)
    total = mean * population if graded else math.floor(mean * population + 1e-9)
    return _wealth(differences, total, population)


def exceeds(
    differences_I: ArrayLike, mean: float, alpha: float, population: int | None = None, graded: bool = False
) -> bool:
    """Whether "the mean difference is at most `mean`" is rejected at `alpha` by what was seen, at any time so far.

    For right and wrong the null in a population is a whole number of items: at most floor(mean * population).
    """
    return log_evidence(differences_I, mean, population, graded) >= -math.log(alpha)


def _differences(differences_I: ArrayLike, population: int | None, graded: bool) -> FloatArray:
    found = np.asarray(differences_I, dtype=np.float64)
    fits = np.abs(found) <= 1 if graded else np.isin(found, (-1.0, 0.0, 1.0))
    if found.ndim != 1 or not fits.all():
        raise ValueError(f"differences are {'in [-1, 1]' if graded else '-1, 0 or 1'}, in one row")
    if population is not None and len(found) > population:
        raise ValueError(f"{len(found)} differences from a population of {population}")
    return found


def smallest_total(rejects: Callable[[float], bool], population: int, graded: bool) -> float:
    """The smallest total difference of a population that is not rejected; all below it are, since wealth falls as the
    null grows. Whole numbers where differences are; else to a millionth of an item.
    """
    rejected, standing = -population - 1.0, float(population)
    while standing - rejected > (1e-6 if graded else 1):
        middle = (rejected + standing) / 2 if graded else float((rejected + standing) // 2)
        if rejects(middle):
            rejected = middle
        else:
            standing = middle
    return standing


def _low_of(differences: FloatArray, alpha: float, population: int | None, graded: bool) -> float:
    if population is None:
        return _low(differences, alpha)
    total = smallest_total(lambda null: _wealth(differences, null, population) >= -math.log(alpha), population, graded)
    return max(-1.0, total / population)


def _low(differences: FloatArray, alpha: float, weight_U: FloatArray | float = 1.0) -> float:
    """The largest mean of a source that is rejected; -1 where none is. Weights: unit sizes, the largest 1."""

    def rejects(mean: float) -> bool:
        return _wealth(differences + (1 - weight_U) * mean, mean, None) >= -math.log(alpha)

    rejected, standing = -1.0 + 1e-6, 1.0
    if not rejects(rejected):
        return -1.0
    for _ in range(_BISECTIONS):
        middle = (rejected + standing) / 2
        if rejects(middle):
            rejected = middle
        else:
            standing = middle
    return rejected


def first_rejection(
    differences_I: ArrayLike, mean: float, alpha: float, population: int | None = None, graded: bool = False
) -> int | None:
    """How many differences it took to reject "the mean is at most `mean`" at `alpha`; None if all did not suffice."""
    differences = _differences(differences_I, population, graded)
    null = mean
    if population is not None:
        null = mean * population if graded else math.floor(mean * population + 1e-9)
    size = _FIRST
    while True:
        # What the first items prove does not depend on the later ones, so most of these need not be looked at.
        over_I = _wealth_path(differences[:size], null, population) >= -math.log(alpha)
        if over_I.any():
            return int(over_I.argmax())
        if size >= len(differences):
            return None
        size *= 3


def _wealth(differences: FloatArray, null: float, population: int | None) -> float:
    """Largest log wealth so far of the mixture of bets against a total (in a population) or mean of at most `null`."""
    return float(_wealth_path(differences, null, population).max())


def _wealth_path(differences: FloatArray, null: float, population: int | None) -> FloatArray:
    """Log wealth after 0, 1, ... items; infinite from where the null is impossible."""
    x_I = (differences + 1) / 2
    if population is None:
        return mixture_path(x_I, np.full(len(x_I) + 1, (null + 1) / 2))
    return mixture_path(x_I, left_means(x_I, (null + population) / 2, population))


def left_means(values_I: FloatArray, total: float, population: int) -> FloatArray:
    """Mean of what is still to come if the population's total is `total`, before each item and after the last.

    After the last item of all nothing is to come: -1 where the total does not account for what was seen, else 0.
    """
    left_I = total - np.concatenate(([0.0], np.cumsum(values_I)))
    count_I = population - np.arange(len(values_I) + 1)
    return np.where(count_I > 0, left_I / np.maximum(count_I, 1), np.where(left_I < -_ROUNDING, -1.0, 0.0))


def mixture_path(won_I: FloatArray, fair_I: FloatArray, bets: FloatArray = BETS) -> FloatArray:
    """Log wealth after 0, 1, ... items of a mixture of bets on `won_I` >= 0, of mean at most `fair_I` under the null.

    `fair_I` has one entry more: what is left after the last item. From a negative one on the null is impossible and
    wealth infinite.
    """
    # Where the null leaves nothing to win (mean 0) no bet is placed; the next null mean says if it was broken.
    mean_I = fair_I[:-1]
    ratio_I = np.divide(won_I, mean_I, out=np.ones_like(won_I), where=mean_I > _ROUNDING)
    wealth_BI = np.cumsum(np.log1p(bets[:, None] * (ratio_I[None, :] - 1.0)), axis=1)
    top_I = wealth_BI.max(axis=0)
    mixed_I = np.append(0.0, top_I + np.log(np.exp(wealth_BI - top_I).mean(axis=0)))
    # A null that is true by the last digit must not be broken by rounding.
    mixed_I[fair_I < -_ROUNDING] = np.inf
    return np.asarray(mixed_I, dtype=np.float64)
