"""Graded scores of two models on the same items: differences in [-1, 1], one for each independent item.

Knows: the paired t interval and the bootstrap-t. Refuses to know: few items and lumpy differences. Both take the shape
of what was seen for the shape of what may come: they need 30 items, differences that vary, and no rare disasters; where
that is not known `bounded` holds its level instead, and verdicts read that one (see docs/decisions/graded.md).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import student_quantile
from parity.stats.intervals import Interval, check_confidence

FloatArray = NDArray[np.float64]

PAIRED_T, BOOTSTRAP_T = "paired t", "bootstrap-t"
LEAST_ITEMS = 30
# Items resampled at once: as many as the processor's caches hold.
_BLOCK = 1 << 20
_FEW_VALUES = 64


def t_interval(differences_I: ArrayLike, confidence: float = 0.95) -> Interval:
    """The paired t interval of the mean difference: mean +- t(n - 1) sqrt(sum (D - mean)^2 / (n (n - 1))).

    Source: Student 1908, Biometrika 6:1-25; Miller 2024, arXiv 2411.00640, section 4.

    Raises:
        ValueError: fewer than 30 differences, all of them equal, one outside [-1, 1], or confidence outside (0, 1).
    """
    check_confidence(confidence)
    difference_I = _varied(differences_I)
    n = len(difference_I)
    half = student_quantile(0.5 + confidence / 2, n - 1) * float(difference_I.std(ddof=1)) / math.sqrt(n)
    mean = float(difference_I.mean())
    return Interval(max(-1.0, mean - half), min(1.0, mean + half), confidence, PAIRED_T)


def bootstrap_t_interval(
    differences_I: ArrayLike, confidence: float = 0.95, resamples: int = 10_000, seed: int = 0
) -> Interval:
    """The bootstrap-t interval: quantiles of (mean* - mean) / se* in place of Student's, so that skew is corrected.

    The same seed gives the same interval. A resample without variance has an infinite statistic, away from the mean.

    Source: Efron & Tibshirani 1993, An Introduction to the Bootstrap, section 12.5.

    Raises:
        ValueError: as `t_interval`.
    """
    check_confidence(confidence)
    difference_I = _varied(differences_I)
    n, mean = len(difference_I), float(difference_I.mean())
    t_R = _studentized(difference_I - mean, resamples, np.random.default_rng(seed))
    tail = (1 - confidence) / 2
    low_t, high_t = np.quantile(t_R, [tail, 1 - tail], method="inverted_cdf")
    se = float(difference_I.std(ddof=1)) / math.sqrt(n)
    low, high = max(-1.0, mean - float(high_t) * se), min(1.0, mean - float(low_t) * se)
    return Interval(low, high, confidence, BOOTSTRAP_T)


def _studentized(centred_I: FloatArray, resamples: int, chance: np.random.Generator) -> FloatArray:
    """Studentized means of resamples, shape (resamples,)."""
    n = len(centred_I)
    value_G, count_G = np.unique(centred_I, return_counts=True)
    # How often each of few values is drawn is multinomial: the same resamples without drawing n items for each.
    few = len(value_G) <= _FEW_VALUES
    total_R, square_R = _counted(value_G, count_G, resamples, chance) if few else _drawn(centred_I, resamples, chance)
    mean_R = total_R / n
    variance_R = np.maximum(square_R / n - mean_R**2, 0) * n / (n - 1)
    with np.errstate(divide="ignore", invalid="ignore"):
        t_R = mean_R / np.sqrt(variance_R / n)
    return np.nan_to_num(t_R, nan=0.0, posinf=np.inf, neginf=-np.inf)


def _counted(
    value_G: FloatArray, count_G: NDArray[np.int64], resamples: int, chance: np.random.Generator
) -> tuple[FloatArray, FloatArray]:
    """Sums and sums of squares of resamples of a few values, shape (resamples,) each."""
    n = int(count_G.sum())
    drawn_RG = chance.multinomial(n, count_G / n, size=resamples).astype(np.float64)
    return drawn_RG @ value_G, drawn_RG @ value_G**2


def _drawn(centred_I: FloatArray, resamples: int, chance: np.random.Generator) -> tuple[FloatArray, FloatArray]:
    """Sums and sums of squares of resamples drawn item by item, shape (resamples,) each."""
    n = len(centred_I)
    value_I = centred_I.astype(np.float32)
    at_once = max(1, _BLOCK // n)
    total_R, square_R = np.empty(resamples), np.empty(resamples)
    for begin in range(0, resamples, at_once):
        size = min(at_once, resamples - begin)
        drawn_RI = value_I.take(chance.integers(0, n, (size, n)), mode="clip")
        total_R[begin : begin + size] = drawn_RI.sum(axis=1)
        square_R[begin : begin + size] = np.einsum("ri,ri->r", drawn_RI, drawn_RI)
    return total_R, square_R


def _varied(differences_I: ArrayLike) -> FloatArray:
    difference_I = np.asarray(differences_I, dtype=np.float64)
    if difference_I.ndim != 1 or not (np.abs(difference_I) <= 1).all():
        raise ValueError("differences of scores are one row of numbers in [-1, 1]")
    if len(difference_I) < LEAST_ITEMS:
        raise ValueError(f"{len(difference_I)} items; below {LEAST_ITEMS} use the bounds of `sequential`")
    if difference_I.min() == difference_I.max():
        raise ValueError("all differences are equal: a t interval would be a point; use bounded_interval")
    return difference_I
