"""What a judge's marks are worth: its errors against human labels, bias by position and length, a corrected rate.

Knows labels and marks as arrays. Refuses to know prompts and models. Marks of a judge are measurements with errors: a
rate from them is not a rate of right answers until it is corrected from labels.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from parity.stats.distributions import binomial_cdf, normal_quantile
from parity.stats.intervals import Interval, check_confidence

ROGAN_GLADEN = "Rogan-Gladen"


@dataclass(frozen=True, slots=True)
class JudgeErrors:
    """How a judge marks what people call right and wrong: `sensitivity` q1, `specificity` q0, from m1 and m0 labels."""

    sensitivity: float
    specificity: float
    right: int
    wrong: int

    @classmethod
    def of(cls, judged_I: ArrayLike, label_I: ArrayLike) -> JudgeErrors:
        """From the judge's marks and people's labels, 0 or 1, of the same items.

        Raises:
            ValueError: marks other than 0 and 1, or labels all alike: then one of the two cannot be told.
        """
        judged, label = np.asarray(judged_I), np.asarray(label_I)
        if judged.shape != label.shape or not (np.isin(judged, (0, 1)).all() and np.isin(label, (0, 1)).all()):
            raise ValueError("marks and labels are 0 or 1, one each an item")
        right, wrong = int((label == 1).sum()), int((label == 0).sum())
        if not right or not wrong:
            raise ValueError(f"{right} right and {wrong} wrong labels: a judge's errors need both kinds")
        return cls(float(judged[label == 1].mean()), float(1 - judged[label == 0].mean()), right, wrong)


def rogan_gladen(share: float, n: int, errors: JudgeErrors, confidence: float = 0.95) -> Interval:
    """The share of right answers among n that a judge with these errors marked right with `share`; by normal theory.

    (p + q0 - 1) / (q0 + q1 - 1), cut to [0, 1]; variance [p (1 - p) / n + (1 - t)^2 q0 (1 - q0) / m0
    + t^2 q1 (1 - q1) / m1] / (q0 + q1 - 1)^2. The errors must be the same on the n as on the labelled items. Where a
    random sample of the n is labelled, `predicted.ppi_interval` needs no such belief and is usually narrower.
    Source: Rogan & Gladen 1978, American Journal of Epidemiology 107:71-76; Lee et al. 2025, arXiv 2511.21140.

    Raises:
        ValueError: a judge no better than chance, no answers, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    estimate = corrected_share(share, errors)
    q0, q1 = errors.specificity, errors.sensitivity
    if n < 1:
        raise ValueError("no answers")
    noise = (1 - estimate) ** 2 * q0 * (1 - q0) / errors.wrong + estimate**2 * q1 * (1 - q1) / errors.right
    se = math.sqrt(share * (1 - share) / n + noise) / (q0 + q1 - 1)
    half = normal_quantile(0.5 + confidence / 2) * se
    return Interval(max(0.0, estimate - half), min(1.0, estimate + half), confidence, ROGAN_GLADEN)


def corrected_share(share: float, errors: JudgeErrors) -> float:
    """Rogan and Gladen's estimate of the share of right answers, a fraction.

    Raises:
        ValueError: a judge no better than chance.
    """
    informed = errors.specificity + errors.sensitivity - 1
    if informed <= 0:
        raise ValueError(
            f"sensitivity {errors.sensitivity:.3f} and specificity {errors.specificity:.3f}: this judge is no better "
            "than chance, and its marks tell nothing"
        )
    return min(1.0, max(0.0, (share + errors.specificity - 1) / informed))


@dataclass(frozen=True, slots=True)
class PositionBias:
    """What a judge says when the two answers change places. `p`: that first and second win its flips equally often.

    `consistent`: share of pairs with the same winner in both orders; `first`, `second`: pairs in which the first
    (second) place won both times.
    """

    pairs: int
    consistent: float
    first: int
    second: int
    p: float


def position_bias(winner_I: ArrayLike, swapped_winner_I: ArrayLike) -> PositionBias:
    """From the winning places (1, 2; 0 a tie) of the same pairs in one order and in the other; an exact sign test.

    Raises:
        ValueError: another number of them, or a place other than 0, 1, 2.
    """
    winner, swapped = np.asarray(winner_I), np.asarray(swapped_winner_I)
    if winner.shape != swapped.shape or not len(winner) or not np.isin((winner, swapped), (0, 1, 2)).all():
        raise ValueError("winning places are 0, 1 or 2, one in each order a pair")
    same = (winner == 0) & (swapped == 0) | (winner + swapped == 3) & (winner > 0) & (swapped > 0)
    first, second = (int(((winner == place) & (swapped == place)).sum()) for place in (1, 2))
    p = min(1.0, 2 * binomial_cdf(min(first, second), first + second, 0.5))
    return PositionBias(len(winner), float(same.mean()), first, second, p)


@dataclass(frozen=True, slots=True)
class LengthBias:
    """How often the longer answer wins, with the judge and with people, where both name a winner and lengths differ."""

    pairs: int
    judge: float
    people: float
    p: float


def length_bias(
    judge_I: ArrayLike, people_I: ArrayLike, first_length_I: ArrayLike, second_length_I: ArrayLike
) -> LengthBias:
    """Whether the judge prefers the longer answer more often than people do; McNemar's exact test of the difference.

    Winners are 1 or 2 (0 a tie, left out).

    Raises:
        ValueError: no pair in which both name a winner and lengths differ.
    """
    judge, people = np.asarray(judge_I), np.asarray(people_I)
    longer = np.sign(np.asarray(second_length_I, dtype=np.float64) - np.asarray(first_length_I, dtype=np.float64))
    kept = (judge > 0) & (people > 0) & (longer != 0)
    if not kept.any():
        raise ValueError("no pair in which both name a winner and the lengths differ")
    place = np.where(longer > 0, 2, 1)[kept]
    judged, said = judge[kept] == place, people[kept] == place
    more, less = int((judged & ~said).sum()), int((~judged & said).sum())
    p = min(1.0, 2 * binomial_cdf(min(more, less), more + less, 0.5))
    return LengthBias(int(kept.sum()), float(judged.mean()), float(said.mean()), p)


@dataclass(frozen=True, slots=True)
class LongerWins:
    """How often the longer answer wins, among pairs with a winner and two lengths. `p`: that it does by chance alone.

    A longer answer may well be the better one: without people's labels this is a description and no bias.
    """

    pairs: int
    share: float
    p: float


def longer_wins(preferred_I: ArrayLike, longer_by_I: ArrayLike) -> LongerWins | None:
    """From how much the first answer is preferred, in [0, 1], and by how much it is longer; None where none counts."""
    won, longer = np.sign(np.asarray(preferred_I, dtype=np.float64) - 0.5), np.sign(np.asarray(longer_by_I))
    kept = (won != 0) & (longer != 0)
    pairs, wins = int(kept.sum()), int((won[kept] == longer[kept]).sum())
    if not pairs:
        return None
    return LongerWins(pairs, wins / pairs, min(1.0, 2 * binomial_cdf(min(wins, pairs - wins), pairs, 0.5)))
