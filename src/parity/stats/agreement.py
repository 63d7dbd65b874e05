"""How far two markers agree, and a judge's rate corrected by what people said of some of the items.

Knows labels and marks as arrays. Refuses to know who marked and what. The correction assumes that the judge errs on the
labelled items as it does on all; `predicted.ppi_interval` assumes that the labelled ones are a random sample instead.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import normal_quantile
from parity.stats.intervals import Interval, check_confidence

FloatArray = NDArray[np.float64]
FLEISS = "Fleiss-Cohen-Everitt"
CORRECTED = "Rogan-Gladen, several classes"
# A judge whose marks tell the classes apart by less than this (least singular value) tells nothing of their shares.
LEAST_INFORMED = 0.02


@dataclass(frozen=True, slots=True)
class Agreement:
    """Of two markers over the same items: the share of equal labels, and Cohen's kappa with its interval."""

    items: int
    share: float
    kappa: float
    interval: Interval


def agreement(one_I: ArrayLike, other_I: ArrayLike, confidence: float = 0.95) -> Agreement:
    """Agreement of two markers' labels; kappa is 1 when they are always alike, 0 at what their habits alone would give.

    The interval is by kappa's asymptotic variance, cut to [-1, 1]; of no width where they are always alike.
    Source: Cohen 1960; Fleiss, Cohen & Everitt 1969, Psychological Bulletin 72:323-327, eq. (13).

    Raises:
        ValueError: no labels, another number of them, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    one, other = np.asarray(one_I), np.asarray(other_I)
    if one.shape != other.shape or one.ndim != 1 or not len(one):
        raise ValueError(f"labels of shapes {one.shape} and {other.shape}; give two flat arrays over the same items")
    labels = np.union1d(one, other)
    table_LL = np.array([[np.mean((one == a) & (other == b)) for b in labels] for a in labels])
    row_L, column_L, alike_L = table_LL.sum(axis=1), table_LL.sum(axis=0), np.diag(table_LL)
    agreed, chance = float(alike_L.sum()), float(row_L @ column_L)
    if chance == 1:
        return Agreement(len(one), 1.0, 1.0, Interval(1.0, 1.0, confidence, FLEISS))
    kappa = (agreed - chance) / (1 - chance)
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(_kappa_variance(table_LL, kappa, chance) / len(one))
    return Agreement(
        len(one), agreed, kappa, Interval(max(-1.0, kappa - half), min(1.0, kappa + half), confidence, FLEISS)
    )


def _kappa_variance(table_LL: FloatArray, kappa: float, chance: float) -> float:
    """Of one item."""
    row_L, column_L, alike_L = table_LL.sum(axis=1), table_LL.sum(axis=0), np.diag(table_LL)
    off_LL = table_LL * (column_L[:, None] + row_L[None, :]) ** 2
    np.fill_diagonal(off_LL, 0.0)
    same = float((alike_L * (1 - (row_L + column_L) * (1 - kappa)) ** 2).sum())
    apart = (1 - kappa) ** 2 * float(off_LL.sum())
    return max(0.0, same + apart - (kappa - chance * (1 - kappa)) ** 2) / (1 - chance) ** 2


@dataclass(frozen=True, slots=True)
class Corrected:
    """An estimate and its interval."""

    estimate: float
    interval: Interval


def corrected_rate(
    mark_I: ArrayLike, labelled_mark_J: ArrayLike, label_J: ArrayLike, confidence: float = 0.95
) -> Corrected:
    """The mean label of all items, labels 0, 1/2 and 1, from a judge's marks in [0, 1] of all and labels of some.

    Rogan and Gladen's correction for as many classes as people used. With two, E(mark) = q0 + (q1 - q0) t is solved for
    the share t; with ties among the labels the shares of marks below, at and above 1/2 are solved for three shares.
    Variance by the delta method: of the marks of all items, and of each class's among its labelled ones. For marks of 0
    and 1 it is `judges.rogan_gladen`. Sources: as there; Buonaccorsi 2010, Measurement Error, ch. 3 (several classes).

    Raises:
        ValueError: labels of one kind only, other labels than 0, 1/2, 1, or a judge who does not tell them apart.
    """
    check_confidence(confidence)
    label_J, marks_I = np.asarray(label_J, dtype=np.float64), np.asarray(mark_I, dtype=np.float64)
    labelled_J = np.asarray(labelled_mark_J, dtype=np.float64)
    if label_J.shape != labelled_J.shape or not np.isin(label_J, (0, 0.5, 1)).all() or not len(marks_I):
        raise ValueError("labels are 0, 1/2 or 1, one for each labelled mark, and there are marks")
    worth_K = np.unique(label_J)
    if len(worth_K) < 2:
        raise ValueError("people gave one label only: a judge's errors need at least two kinds")
    seen_IK, seen_JK = (_seen(marks, worth_K) for marks in (marks_I, labelled_J))
    per_class = [seen_JK[label_J == worth] for worth in worth_K]
    told_KK = np.stack([rows.mean(axis=0) for rows in per_class], axis=1)
    if np.linalg.svd(told_KK, compute_uv=False)[-1] < LEAST_INFORMED or np.linalg.det(told_KK) <= 0:
        raise ValueError("this judge does not tell apart what people do, and its marks tell nothing of the rate")
    share_K = np.linalg.solve(told_KK, seen_IK.mean(axis=0))
    slope_K = np.linalg.solve(told_KK.T, worth_K)
    variance = float(slope_K @ _covariance(seen_IK) @ slope_K) / len(marks_I)
    for share, rows in zip(share_K, per_class, strict=True):
        variance += share**2 * float(slope_K @ _covariance(rows) @ slope_K) / len(rows)
    estimate = min(1.0, max(0.0, float(worth_K @ share_K)))
    half = normal_quantile(0.5 + confidence / 2) * math.sqrt(variance)
    return Corrected(estimate, Interval(max(0.0, estimate - half), min(1.0, estimate + half), confidence, CORRECTED))


def _seen(marks: FloatArray, worth_K: FloatArray) -> FloatArray:
    """Every mark as shares of the classes, which sum to 1."""
    if len(worth_K) == 2:
        return np.stack([1 - marks, marks], axis=1)
    return np.stack([marks < 0.5, marks == 0.5, marks > 0.5], axis=1).astype(np.float64)


def _covariance(rows: FloatArray) -> FloatArray:
    apart = rows - rows.mean(axis=0)
    return np.asarray(apart.T @ apart / len(rows), dtype=np.float64)
