"""Predictions of a candidate's scores, learned from earlier runs while its own scores come in.

Knows earlier models' scores of every item of a finite population, the incumbent's, and the candidate's of the items
seen so far. Each item is predicted from what was seen before it, never from itself, so that whoever bets on what a
prediction missed keeps his guarantee whatever is learned here. Refuses to know: how much is staked (`predicted`).

Two steps. Several runs become one forecast by logistic regression with a ridge, fitted anew when the items seen have
doubled; the strength of the ridge is the one that has predicted best so far. Then the forecast is corrected from the
corners of (forecast, incumbent): for right and wrong, the share of right answers in each of the four kinds of items.

Sources: Angelopoulos, Duchi & Zrnic 2023, arXiv 2311.01453 (PPI++); Hoerl & Kennard 1970, Technometrics 12:55-67
(ridge); Dawid 1984, JRSS A 147:278-292 (choosing by what was predicted before it was seen).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

FloatArray = NDArray[np.float64]

# The candidate's score at the corners of (forecast, incumbent) 00, 10, 01, 11, believed as after so many items each.
CORNERS, BELIEVED = np.array([0.05, 0.8, 0.2, 0.95]), 10.0
FIRST_FIT = 32
RIDGES = (1.0, 4.0, 16.0, 64.0)
_NEWTON_STEPS, _LEAST = 12, 1e-3


@dataclass(frozen=True, slots=True)
class Predicted:
    """A predicted difference for each item seen, in their order, and what else is predicted at the same time.

    `prediction_I`, shape (n,), lies at most 1 from any difference that can be. `ahead_I`, shape (n + 1,): the mean
    of the predictions that hold before each item, and after the last one, over all items not yet seen (0 where none is
    left). `rest`: their sum after the last item.
    """

    prediction_I: FloatArray
    ahead_I: FloatArray
    population: int

    @property
    def rest(self) -> float:
        return float(self.ahead_I[-1]) * (self.population - len(self.prediction_I))

    @property
    def mirrored(self) -> Predicted:
        """Predictions of the same differences with the two models' roles exchanged."""
        return Predicted(-self.prediction_I, -self.ahead_I, self.population)


def learned(candidate_I: ArrayLike, earlier_NK: ArrayLike, incumbent_N: ArrayLike) -> Predicted:
    """Predicted differences of the items seen, each learned from those before it.

    `candidate_I`, shape (n,): scores in their order, NaN where there is none; `earlier_NK`: K earlier models' scores of
    all N items, the n seen ones first; `incumbent_N`: the incumbent's. All in [0, 1]; an earlier model without a score
    is taken to agree with the incumbent, and an item without the incumbent's score is predicted level.

    Raises:
        ValueError: shapes that do not fit, or a score outside [0, 1].
    """
    candidate, earlier, incumbent = _checked(candidate_I, earlier_NK, incumbent_N)
    n = len(candidate)
    known_N = ~np.isnan(incumbent)
    candidate = np.where(known_N[:n], candidate, np.nan)
    incumbent = np.where(known_N, incumbent, 0.0)
    earlier = np.where(np.isnan(earlier), incumbent[:, None], earlier)
    prediction_I, ahead_I = np.empty(n), np.zeros(n + 1)
    for begin, end, forecast_N in _forecasts(candidate, earlier, incumbent):
        corner_N4 = _corners(forecast_N, incumbent) * known_N[:, None]
        value_I4 = _values(candidate[:end], corner_N4[:end], begin)
        prediction_I[begin:end] = np.einsum("ik,ik->i", value_I4[:-1], corner_N4[begin:end]) - incumbent[begin:end]
        left_I = _ahead(np.column_stack((corner_N4, incumbent)), end)[begin:]
        ahead_I[begin : end + 1] = np.einsum("ik,ik->i", value_I4, left_I[:, :4]) - left_I[:, 4]
    return Predicted(prediction_I, ahead_I, len(incumbent))


def _checked(candidate_I: ArrayLike, earlier_NK: ArrayLike, incumbent_N: ArrayLike) -> tuple[FloatArray, ...]:
    found = tuple(np.asarray(each, dtype=np.float64) for each in (candidate_I, earlier_NK, incumbent_N))
    candidate, earlier, incumbent = found
    if earlier.ndim != 2 or len(earlier) != len(incumbent) or not earlier.shape[1] or len(candidate) > len(incumbent):
        shapes = f"{candidate.shape}, {earlier.shape} and {incumbent.shape}"
        raise ValueError(f"scores of the candidate, earlier models and the incumbent of shapes {shapes} do not fit")
    if any(((each < 0) | (each > 1)).any() for each in found):
        raise ValueError("a score lies outside [0, 1]")
    return found


def _forecasts(
    candidate: FloatArray, earlier_NK: FloatArray, incumbent: FloatArray
) -> Iterator[tuple[int, int, FloatArray]]:
    """Forecasts of the candidate's score of every item, and from which item to which they hold."""
    n, mean_N = len(candidate), earlier_NK.mean(axis=1)
    if earlier_NK.shape[1] == 1:
        yield 0, n, mean_N
        return
    feature_NF = np.column_stack((np.ones(len(incumbent)), 2 * earlier_NK - 1, 2 * incumbent - 1))
    forecast_RN, loss_R = np.tile(mean_N, (len(RIDGES) + 1, 1)), np.zeros(len(RIDGES) + 1)
    begin = 0
    while begin < n:
        end = min(n, max(FIRST_FIT, 2 * begin))
        yield begin, end, forecast_RN[int(loss_R.argmin())]
        scored_I = np.flatnonzero(~np.isnan(candidate[:end]))
        new_I = scored_I[scored_I >= begin]
        loss_R += ((candidate[new_I] - forecast_RN[:, new_I]) ** 2).sum(axis=1)
        for at, ridge in enumerate(RIDGES):
            weight_F = _logistic(feature_NF[scored_I], candidate[scored_I], ridge)
            forecast_RN[at + 1] = 1 / (1 + np.exp(-feature_NF @ weight_F))
        begin = end


def _logistic(feature_IF: FloatArray, score_I: FloatArray, ridge: float) -> FloatArray:
    """Weights that make scores likeliest, drawn to equal ones of the earlier models by a ridge; Newton's method."""
    runs = feature_IF.shape[1] - 2
    drawn_F = np.concatenate(([0.0], np.full(runs, 2.0 / runs), [0.0]))
    weight_F, pull_FF = drawn_F.copy(), ridge * np.eye(runs + 2)
    for _ in range(_NEWTON_STEPS):
        chance_I = 1 / (1 + np.exp(-np.clip(feature_IF @ weight_F, -30, 30)))
        slope_F = feature_IF.T @ (score_I - chance_I) - ridge * (weight_F - drawn_F)
        bend_FF = (feature_IF * np.maximum(chance_I * (1 - chance_I), _LEAST)[:, None]).T @ feature_IF + pull_FF
        step_F = np.linalg.solve(bend_FF, slope_F)
        weight_F = weight_F + step_F
        if np.abs(step_F).max(initial=0.0) < 1e-8:
            break
    return np.asarray(weight_F, dtype=np.float64)


def _corners(forecast_N: FloatArray, incumbent_N: FloatArray) -> FloatArray:
    """How much an item lies in each corner 00, 10, 01, 11 of (forecast, incumbent); adds up to 1."""
    low, high = 1 - forecast_N, forecast_N
    return np.stack((low * (1 - incumbent_N), high * (1 - incumbent_N), low * incumbent_N, high * incumbent_N), axis=1)


def _values(candidate: FloatArray, corner_I4: FloatArray, begin: int) -> FloatArray:
    """Least-squares scores at the corners, drawn to CORNERS, before each item from `begin` on and after the last."""
    scored_I = ~np.isnan(candidate)
    corner_I4 = corner_I4 * scored_I[:, None]
    score_I = np.where(scored_I, candidate, 0.0)
    right_I4 = _before(corner_I4 * score_I[:, None])[begin:] + BELIEVED * CORNERS
    if np.isin(corner_I4, (0.0, 1.0)).all():
        return right_I4 / (_before(corner_I4)[begin:] + BELIEVED)
    product_I44 = _before(corner_I4[:, :, None] * corner_I4[:, None, :])[begin:] + BELIEVED * np.eye(4)
    return np.clip(np.linalg.solve(product_I44, right_I4[:, :, None])[:, :, 0], 0.0, 1.0)


def _before(value_I: FloatArray) -> FloatArray:
    """Sums over the items before each, and over all."""
    return np.concatenate((np.zeros((1, *value_I.shape[1:])), np.cumsum(value_I, axis=0)))


def _ahead(value_NF: FloatArray, seen: int) -> FloatArray:
    """Means over the items from each on, before each of the first `seen` and after them; 0 where none is left."""
    total = value_NF.sum(axis=0) - _before(value_NF[:seen])
    count = (len(value_NF) - np.arange(seen + 1))[:, None]
    return np.where(count > 0, total / np.maximum(count, 1), 0.0)
