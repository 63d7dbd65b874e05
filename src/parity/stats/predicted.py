"""Fewer items when earlier runs predict the differences: only what the predictions missed is left to chance.

Knows differences of the items seen, in random order, and predictions made without them (`forecasts`). Any prediction
keeps the guarantee, a poor one saves nothing. Refuses to know: where predictions come from, and future items, whose
predictions are not all known.

Sources: Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453 (PPI++); Waudby-Smith & Ramdas 2006.04347 (betting without
replacement); Cochran 1977, ch. 7 (difference and regression estimators).
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import student_quantile
from parity.stats.forecasts import Predicted
from parity.stats.intervals import Interval, check_confidence
from parity.stats.sequential import METHOD_ITEMS, AnytimeBounds, left_means, mixture_path, smallest_total

FloatArray = NDArray[np.float64]

METHOD_PREDICTED = f"{METHOD_ITEMS}, with a predictor"
PPI = "PPI++ difference estimator"
# What a good predictor misses is rare, so that larger shares may be staked than on plain differences.
PREDICTED_BETS = np.geomspace(0.06, 0.95, 40)


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
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is a chance between 0 and 0.5")
    low, high = _low(worst, predicted, alpha, graded), -_low(-best, predicted.mirrored, alpha, graded)
    return AnytimeBounds(low, high, alpha, METHOD_PREDICTED)


def predicted_evidence(differences_I: ArrayLike, predicted: Predicted, mean: float, graded: bool = False) -> float:
    """Log of the largest wealth so far against "the population's mean difference is at most `mean`"."""
    total = mean * predicted.population
    differences = np.asarray(differences_I, dtype=np.float64)
    return float(predicted_path(differences, predicted, total if graded else math.floor(total + 1e-9)).max())


def predicted_path(differences: FloatArray, predicted: Predicted, total: float) -> FloatArray:
    """Log wealth after 0, 1, ... items against "the population's total difference is at most `total`"."""
    if not len(differences):
        return np.zeros(1)
    return mixture_path(*stakes(differences, predicted, total), PREDICTED_BETS)


def stakes(differences: FloatArray, predicted: Predicted, total: float) -> tuple[FloatArray, FloatArray]:
    """What can be won on each item, and its mean under the null before each item and after the last.

    Bets are on what the prediction missed, D - f: under the null its mean is D's less f's, of the items left.

    Raises:
        ValueError: another number of predictions, or one more than 1 from the difference.
    """
    f_I = predicted.prediction_I
    if differences.shape != f_I.shape or not (np.abs(differences - f_I) <= 1 + 1e-9).all():
        raise ValueError("one prediction an item, at most 1 from any difference")
    mean_I = left_means(differences, total, predicted.population)
    # D - f >= -1: moved up by 1 it is what a bettor can win.
    fair_I = mean_I + 1 - predicted.ahead_I
    fair_I[-1] = mean_I[-1] if len(differences) == predicted.population else mean_I[-1] + 1
    return np.maximum(differences - f_I + 1, 0.0), fair_I


def predicted_mean(differences_I: ArrayLike, predicted: Predicted) -> float:
    """The estimate: differences seen, and for all others their predictions, moved by what predictions have missed."""
    differences = np.asarray(differences_I, dtype=np.float64)
    missed = float((differences - predicted.prediction_I).mean())
    left = predicted.population - len(differences)
    return (float(differences.sum()) + predicted.rest + left * missed) / predicted.population


def ppi_interval(differences_I: ArrayLike, predictions_N: ArrayLike, confidence: float = 0.95) -> Interval:
    """The population's mean difference from one look at a simple random sample, by its approximate normality.

    mean(D) - lambda (mean(g) - population's mean(g)), lambda the least-squares slope in [0, 1]; variance
    (1 - n / N) var(D - lambda g) / n, Student's t with n - 2 degrees. A second opinion: where what the predictor missed
    is rare it is too narrow, and verdicts bet instead (docs/decisions/graded.md).

    `predictions_N`: g of all items, the n seen ones first.

    Raises:
        ValueError: fewer than 30 differences, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    differences, g_N = np.asarray(differences_I, dtype=np.float64), np.asarray(predictions_N, dtype=np.float64)
    n = len(differences)
    g_I = g_N[:n]
    if n < 30:
        raise ValueError(f"{n} items; below 30 use predicted_bounds")
    spread = float(g_I.var())
    slope = float(np.clip(np.mean((differences - differences.mean()) * g_I) / spread, 0, 1)) if spread else 0.0
    left_I = differences - slope * g_I
    mean = float(left_I.mean()) + slope * float(g_N.mean())
    se = math.sqrt(max(0.0, 1 - n / len(g_N)) * float(left_I.var(ddof=2)) / n)
    half = student_quantile(0.5 + confidence / 2, n - 2) * se
    return Interval(max(-1.0, mean - half), min(1.0, mean + half), confidence, PPI)


def _low(differences: FloatArray, predicted: Predicted, alpha: float, graded: bool) -> float:
    def rejects(total: float) -> bool:
        return bool(predicted_path(differences, predicted, total).max() >= -math.log(alpha))

    return smallest_total(rejects, predicted.population, graded) / predicted.population
