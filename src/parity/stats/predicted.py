"""Fewer items when an earlier run predicts the differences: only what the prediction missed is left to chance.

Knows differences of the items seen, in random order, and a prediction for every item of a finite population, made
without them. Any prediction keeps the guarantee, a poor one saves nothing. Refuses to know: future items, whose
predictions are not all known.

Sources: Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453 (PPI++, its lambda); Waudby-Smith & Ramdas 2006.04347
(betting without replacement); Cochran 1977, ch. 7 (difference and regression estimators).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import student_quantile
from parity.stats.intervals import Interval, check_confidence
from parity.stats.sequential import METHOD_ITEMS, AnytimeBounds, left_means, mixture_path, smallest_total

FloatArray = NDArray[np.float64]

METHOD_PREDICTED = f"{METHOD_ITEMS}, with a predictor"
PPI = "PPI++ difference estimator"
# What a good predictor misses is rare, so that larger shares may be staked than on plain differences.
PREDICTED_BETS = np.geomspace(0.04, 0.95, 40)
# Before anything is seen the predictor is trusted this much, as if by so many squared differences.
_TRUST, _WEIGHT = 0.8, 2.0


@dataclass(frozen=True, slots=True)
class Predicted:
    """Predictions for the items seen, shape (I,), in their order; and their sum over the whole population."""

    prediction_I: FloatArray
    total: float
    population: int


def predicted_bounds(
    worst_I: ArrayLike, best_I: ArrayLike, predicted: Predicted, alpha: float, graded: bool = False
) -> AnytimeBounds:
    """Bounds of the population's mean difference, each one-sided at `alpha`, valid at any stopping time.

    Worst and best differ where a score is missing. A difference may lie at most 1 from its prediction, as it does when
    both are of the same incumbent's answer.

    Raises:
        ValueError: a difference more than 1 from its prediction, or alpha outside (0, 0.5).
    """
    worst, best = np.asarray(worst_I, dtype=np.float64), np.asarray(best_I, dtype=np.float64)
    mirrored = Predicted(-predicted.prediction_I, -predicted.total, predicted.population)
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is a chance between 0 and 0.5")
    low, high = _low(worst, predicted, alpha, graded), -_low(-best, mirrored, alpha, graded)
    return AnytimeBounds(low, high, alpha, METHOD_PREDICTED)


def predicted_evidence(differences_I: ArrayLike, predicted: Predicted, mean: float, graded: bool = False) -> float:
    """Log of the largest wealth so far against "the population's mean difference is at most `mean`"."""
    total = mean * predicted.population
    differences = np.asarray(differences_I, dtype=np.float64)
    return float(predicted_path(differences, predicted, total if graded else math.floor(total + 1e-9)).max())


def predicted_path(differences: FloatArray, predicted: Predicted, total: float) -> FloatArray:
    """Log wealth after 0, 1, ... items against "the population's total difference is at most `total`".

    Bets are on Z = D - lambda (g - mean of g among the items left): under the null its mean is that of D among those.
    """
    g_I = predicted.prediction_I
    if differences.shape != g_I.shape or not (np.abs(differences - g_I) <= 1 + 1e-9).all():
        raise ValueError("one prediction an item, at most 1 from any difference")
    if not len(differences):
        return np.zeros(1)
    mean_I = left_means(differences, total, predicted.population)
    ahead_I = left_means(g_I, predicted.total, predicted.population)
    trust_I = _trust(differences, g_I)
    # D - lambda g >= -1 for lambda in [0, 1]: moved up by 1 it is what a bettor can win.
    won_I = np.maximum(differences - trust_I * g_I + 1, 0.0)
    fair_I = mean_I + 1 - np.append(trust_I, 0.0) * ahead_I
    fair_I[-1] = mean_I[-1] if len(differences) == predicted.population else mean_I[-1] + 1
    return mixture_path(won_I, fair_I, PREDICTED_BETS)


def predicted_mean(differences_I: ArrayLike, predicted: Predicted) -> float:
    """The estimate: mean difference, corrected by how far the predictions of the items seen are off all predictions."""
    differences = np.asarray(differences_I, dtype=np.float64)
    slope = _trust(np.append(differences, 0.0), np.append(predicted.prediction_I, 0.0))[-1]
    off = float(predicted.prediction_I.mean()) - predicted.total / predicted.population
    return float(differences.mean()) - float(slope) * off


def ppi_interval(differences_I: ArrayLike, predicted: Predicted, confidence: float = 0.95) -> Interval:
    """The population's mean difference from one look at a simple random sample, by its approximate normality.

    mean(D) - lambda (mean(g) - population's mean(g)), lambda the least-squares slope in [0, 1]; variance
    (1 - n / N) var(D - lambda g) / n, Student's t with n - 2 degrees. A second opinion: where what the predictor missed
    is rare it is too narrow, and verdicts bet instead (docs/decisions/graded.md).

    Raises:
        ValueError: fewer than 30 differences, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    differences, g_I = np.asarray(differences_I, dtype=np.float64), predicted.prediction_I
    n = len(differences)
    if n < 30:
        raise ValueError(f"{n} items; below 30 use predicted_bounds")
    spread = float(g_I.var())
    slope = float(np.clip(np.mean((differences - differences.mean()) * g_I) / spread, 0, 1)) if spread else 0.0
    left_I = differences - slope * g_I
    mean = float(left_I.mean()) + slope * predicted.total / predicted.population
    se = math.sqrt(max(0.0, 1 - n / predicted.population) * float(left_I.var(ddof=2)) / n)
    half = student_quantile(0.5 + confidence / 2, n - 2) * se
    return Interval(max(-1.0, mean - half), min(1.0, mean + half), confidence, PPI)


def _trust(differences: FloatArray, g_I: FloatArray) -> FloatArray:
    """Lambda before each item: the slope of D on g among the items seen by then, drawn to its first value."""

    def before(values: FloatArray) -> FloatArray:
        return np.concatenate(([0.0], np.cumsum(values)[:-1]))

    seen_I = np.maximum(np.arange(len(g_I)), 1)
    covariance_I = before(differences * g_I) - before(differences) * before(g_I) / seen_I
    variance_I = before(g_I * g_I) - before(g_I) ** 2 / seen_I
    return np.clip((covariance_I + _WEIGHT * _TRUST) / (variance_I + _WEIGHT), 0.0, 1.0)


def _low(differences: FloatArray, predicted: Predicted, alpha: float, graded: bool) -> float:
    def rejects(total: float) -> bool:
        return bool(predicted_path(differences, predicted, total).max() >= -math.log(alpha))

    return smallest_total(rejects, predicted.population, graded) / predicted.population
