"""The mean of differences that lie in [-1, 1], whatever their shape: Gaffke's bound for independent units.

Knows: units (an item, or a cluster of items) with a total and a size. Refuses to know: looking early (`sequential`).

The lower bound is the alpha-quantile of the mean under uniform Dirichlet weights on the units seen and on one more that
went as badly as any can. With right or wrong scores of one model it is Clopper-Pearson's bound; on skewed, tied or
nearly constant differences it keeps its level where the t interval fails; with many units it is as narrow. Its level is
conjectured and unrefuted for every distribution on [-1, 1], not proved; `benchmarks_perf/verdict.py` simulates it.

Sources: Gaffke 2005, Statistics & Decisions 23:159-176; Learned-Miller & Thomas 2020, arXiv 1905.06208. The weights'
distribution by saddlepoint: Barndorff-Nielsen 1986, Biometrika 73:307-322 (r*); relative error about .2 % at 10 units.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import normal_cdf, normal_quantile
from parity.stats.intervals import Interval, check_confidence

FloatArray = NDArray[np.float64]

BOUNDED = "Gaffke bound"
_TOLERANCE, _STEPS = 1e-11, 200


@dataclass(frozen=True, slots=True)
class Units:
    """Independent units of items: `total_U` the sum of a unit's differences, `size_U` its number of items.

    Raises:
        ValueError: no units, a unit without items, or a total that its items cannot reach.
    """

    total_U: FloatArray
    size_U: FloatArray
    squares: float
    flipped: int

    def __post_init__(self) -> None:
        if not len(self.size_U):
            raise ValueError("no items; a paired comparison needs at least one that both models answered")
        if not (self.size_U > 0).all() or not (np.abs(self.total_U) <= self.size_U * (1 + 1e-12)).all():
            raise ValueError("differences lie in [-1, 1], and a unit has at least one item")

    @classmethod
    def of(cls, differences_I: ArrayLike, cluster_I: ArrayLike | None = None) -> Units:
        """Units of differences, shape (I,): each item its own, or all items with the same label together.

        Raises:
            ValueError: no differences, one outside [-1, 1] (or NaN), or labels of another shape.
        """
        difference_I = np.asarray(differences_I, dtype=np.float64)
        if difference_I.ndim != 1 or not len(difference_I):
            raise ValueError("no items; a paired comparison needs at least one that both models answered")
        if not (np.abs(difference_I) <= 1).all():
            raise ValueError("a difference lies outside [-1, 1]; scores lie in [0, 1]")
        squares, flipped = float(difference_I @ difference_I), int(np.count_nonzero(difference_I))
        if cluster_I is None:
            return cls(difference_I, np.ones_like(difference_I), squares, flipped)
        labels = np.asarray(cluster_I)
        if labels.shape != difference_I.shape:
            raise ValueError(f"labels of shape {labels.shape} for differences of shape {difference_I.shape}")
        # Units keep the order in which they first appear: a random order of items stays one of clusters.
        _, first_U, unit_I = np.unique(labels, return_index=True, return_inverse=True)
        rank_U = np.argsort(np.argsort(first_U))
        unit_I = rank_U[unit_I]
        total_U = np.asarray(np.bincount(unit_I, difference_I), dtype=np.float64)
        return cls(total_U, np.asarray(np.bincount(unit_I), dtype=np.float64), squares, flipped)

    @property
    def count(self) -> int:
        """Independent units."""
        return len(self.size_U)

    @property
    def n(self) -> int:
        """Items."""
        return int(self.size_U.sum())

    @property
    def gap(self) -> float:
        """Mean difference of the items."""
        return float(self.total_U.sum() / self.size_U.sum())

    @property
    def flips(self) -> float:
        """Share of items whose two scores differ."""
        return self.flipped / self.n

    @property
    def mean_square(self) -> float:
        """Mean squared difference of the items; for right or wrong scores it is the flips."""
        return self.squares / self.n

    @property
    def variance(self) -> float:
        """Variance of a unit's total about the mean, in units of the mean size; of its difference for single items."""
        residual_U = (self.total_U - self.gap * self.size_U) / self.size_U.mean()
        return float(residual_U @ residual_U) / self.count

    @property
    def swapped(self) -> Units:
        """The same units with the two models' roles exchanged."""
        return Units(-self.total_U, self.size_U, self.squares, self.flipped)


def bounded_interval(units: Units, confidence: float = 0.95) -> Interval:
    """Gaffke's bounds of the mean difference per item, each at (1 - confidence) / 2; fractions in [-1, 1].

    For clusters of unequal size a null mean d is tested on total - d * size, whose mean it makes zero.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    check_confidence(confidence)
    alpha = (1 - confidence) / 2
    return Interval(bounded_low(units, alpha), -bounded_low(units.swapped, alpha), confidence, BOUNDED)


def share_interval(values_I: ArrayLike, confidence: float = 0.95) -> Interval:
    """Gaffke's bounds of the mean of independent shares in [0, 1]; for values 0 or 1 they are Clopper-Pearson's.

    Raises:
        ValueError: no values, one outside [0, 1], or confidence outside (0, 1).
    """
    found = bounded_interval(Units.of(2 * np.asarray(values_I, dtype=np.float64) - 1), confidence)
    return Interval((1 + found.low) / 2, (1 + found.high) / 2, confidence, BOUNDED)


def bounded_low(units: Units, alpha: float) -> float:
    """The lower bound at `alpha`: the mean d at which P(weighted mean <= d) is alpha; -1 at the least."""
    # The saddlepoint root r*(d) is nearly straight in d, so that a secant held in a bracket needs a handful of steps.
    values = _grouped(units)
    target = normal_quantile(alpha)
    low, high = -1.0, units.gap
    if high <= -1:
        return -1.0
    at = high + target * math.sqrt(max(units.mean_square, 1 / units.count) / units.count)
    previous: tuple[float, float] | None = None
    for _ in range(_STEPS):
        if not low < at < high:
            at = (low + high) / 2
        miss = _root(values, at) - target
        low, high = (at, high) if miss < 0 else (low, at)
        if high - low < _TOLERANCE or miss == 0:
            break
        step = (at - previous[0]) / (miss - previous[1]) * miss if previous and miss != previous[1] else math.inf
        previous = (at, miss)
        if abs(step) < _TOLERANCE:
            return at - _TOLERANCE
        at = at - step if math.isfinite(step) else (low + high) / 2
    return low


def bounded_p_value(units: Units, mean: float) -> float:
    """P-value of H0 mean difference <= `mean`: the probability that `bounded_low` is the bound's own level there."""
    return float(normal_cdf(np.array(_root(_grouped(units), mean))))


@dataclass(frozen=True, slots=True)
class _Values:
    """Distinct units with their numbers, scaled by the largest size, and the worst that one more could be."""

    total_G: FloatArray
    size_G: FloatArray
    count_G: FloatArray


def _grouped(units: Units) -> _Values:
    largest = units.size_U.max()
    pairs_U2 = np.column_stack((units.total_U, units.size_U)) / largest
    if units.size_U.min() == largest:
        total_G, count_G = np.unique(pairs_U2[:, 0], return_counts=True)
        pairs_G2 = np.column_stack((total_G, np.ones_like(total_G)))
    else:
        pairs_G2, count_G = np.unique(pairs_U2, axis=0, return_counts=True)
    worst_G2 = np.vstack((pairs_G2, [[-1.0, 1.0]]))
    return _Values(worst_G2[:, 0], worst_G2[:, 1], np.append(count_G, 1.0))


def _root(values: _Values, mean: float) -> float:
    """r* with P(sum of weighted (total - mean * size) <= 0) = Phi(r*), weights independent exponentials."""
    z_G, k_G = values.total_G - mean * values.size_G, values.count_G
    if z_G.max() <= 0:
        return math.inf
    if z_G.min() >= 0:
        return -math.inf
    low, high = 1 / float(z_G.min()), 1 / float(z_G.max())
    square = float(k_G @ (z_G * z_G))
    s = min(max(-float(k_G @ z_G) / square, 0.9 * low), 0.9 * high)
    for _ in range(_STEPS):
        ratio_G = z_G / (1 - s * z_G)
        slope, bend = float(k_G @ ratio_G), float(k_G @ (ratio_G * ratio_G))
        low, high = (low, s) if slope > 0 else (s, high)
        new = s - slope / bend
        new = new if low < new < high else (low + high) / 2
        done, s = abs(new - s) <= 1e-13 * abs(new), new
        if done:
            break
    ratio_G = z_G / (1 - s * z_G)
    w = math.copysign(math.sqrt(max(2 * float(k_G @ np.log1p(-s * z_G)), 0.0)), s)
    u = s * math.sqrt(float(k_G @ (ratio_G * ratio_G)))
    # At the mean itself both vanish; the limit is taken a hair beside it.
    return w + math.log(u / w) / w if abs(w) > 1e-6 else w
