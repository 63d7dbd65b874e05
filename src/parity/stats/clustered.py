"""Differences that come in clusters (passages, conversations, users): items of one cluster are not independent.

Knows: the cluster-robust interval with small-sample correction, and the wild bootstrap for fewer than 40 clusters.
Refuses to know: few clusters (below 15 only the bets of `sequential`), and clusters that are nearly all alike; verdicts
read the bound of `bounded` on the clusters' totals (see docs/decisions/graded.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from parity.stats.bounded import Units
from parity.stats.distributions import student_quantile
from parity.stats.intervals import Interval, check_confidence

FloatArray = NDArray[np.float64]

ROBUST, WILD = "cluster-robust t (CR2)", "wild cluster bootstrap-t"
LEAST_CLUSTERS, WILD_BELOW = 15, 40
_BISECTIONS = 40


def clustered_interval(units: Units, confidence: float = 0.95) -> Interval:
    """The wild bootstrap below 40 clusters, the cluster-robust t interval from there on.

    Raises:
        ValueError: fewer than 15 clusters, clusters without variance, or confidence outside (0, 1).
    """
    return (wild_interval if units.count < WILD_BELOW else robust_interval)(units, confidence)


def robust_interval(units: Units, confidence: float = 0.95) -> Interval:
    """Mean difference +- t(df) se, se^2 = sum_c S_c^2 / (1 - n_c / N) / N^2: S_c sums the residuals of a cluster.

    The division makes the variance unbiased when errors are alike (CR2); df are Satterthwaite's under the same model.
    Source: Bell & McCaffrey 2002, Survey Methodology 28:169-181; Imbens & Kolesar 2016, Rev. Econ. Stat. 98:701-712.

    Raises:
        ValueError: as `clustered_interval`.
    """
    check_confidence(confidence)
    _check(units)
    half = student_quantile(0.5 + confidence / 2, _degrees(units.size_U)) * math.sqrt(robust_variance(units))
    return Interval(max(-1.0, units.gap - half), min(1.0, units.gap + half), confidence, ROBUST)


def robust_variance(units: Units) -> float:
    """The cluster-robust variance (CR2) of the mean difference per item; at least two clusters."""
    items = units.size_U.sum()
    residual_C = units.total_U - units.gap * units.size_U
    return float((residual_C**2 / (1 - units.size_U / items)).sum()) / float(items) ** 2


def wild_interval(units: Units, confidence: float = 0.95, resamples: int = 1_999, seed: int = 0) -> Interval:
    """All means that the wild cluster bootstrap with the null imposed does not reject, one-sided each.

    Each cluster's residual under the null keeps or changes its sign at random (Rademacher), the same at every null.
    Source: Cameron, Gelbach & Miller 2008, Rev. Econ. Stat. 90:414-427, for a mean alone.

    Raises:
        ValueError: as `clustered_interval`.
    """
    check_confidence(confidence)
    _check(units)
    sign_RC = np.random.default_rng(seed).choice(np.array([-1.0, 1.0]), size=(resamples, units.count))
    alpha = (1 - confidence) / 2
    return Interval(_wild_low(units, sign_RC, alpha), -_wild_low(units.swapped, sign_RC, alpha), confidence, WILD)


def _wild_low(units: Units, sign_RC: FloatArray, alpha: float) -> float:
    """The largest null at which the observed statistic is among the alpha largest."""
    rejected, standing = -1.0, units.gap
    for _ in range(_BISECTIONS):
        null = (rejected + standing) / 2
        residual_C = units.total_U - null * units.size_U
        seen = _statistics(residual_C[None, :], units.size_U)[0]
        drawn_R = _statistics(sign_RC * residual_C, units.size_U)
        # The sample itself is one of the equally likely ones.
        chance = (1 + np.count_nonzero(drawn_R >= seen - 1e-12)) / (len(drawn_R) + 1)
        rejected, standing = (null, standing) if chance <= alpha else (rejected, null)
    return rejected


def _statistics(residual_RC: FloatArray, size_C: FloatArray) -> FloatArray:
    """t statistics of residual totals against zero, cluster-robust with G / (G - 1); shape (R,)."""
    mean_R = residual_RC.sum(axis=1) / size_C.sum()
    count = len(size_C)
    left_RC = residual_RC - mean_R[:, None] * size_C
    se_R = np.sqrt(np.einsum("rc,rc->r", left_RC, left_RC) * count / (count - 1)) / size_C.sum()
    return np.asarray(mean_R / np.maximum(se_R, 1e-300), dtype=np.float64)


def _degrees(size_C: FloatArray) -> float:
    """Satterthwaite's degrees of freedom of the CR2 variance of a mean when errors are independent and alike."""
    items = size_C.sum()
    u_C = size_C / (1 - size_C / items)
    v_C = size_C**2 / (items * (1 - size_C / items))
    return float(items**2 / ((u_C**2).sum() - 2 * (u_C * v_C).sum() + v_C.sum() ** 2))


def _check(units: Units) -> None:
    if units.count < LEAST_CLUSTERS:
        raise ValueError(f"{units.count} clusters; below {LEAST_CLUSTERS} use the bounds of `sequential`")
    mean_C = units.total_U / units.size_U
    if mean_C.min() == mean_C.max():
        raise ValueError("all clusters have the same mean: the interval would be a point; use bounded_interval")
