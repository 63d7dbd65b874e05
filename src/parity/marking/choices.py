"""Marks a choice made by log-likelihood: the most likely option wins; ties and NaN are unscored."""

import math
from collections.abc import Sequence

from parity.core.scores import Mark, Score, Unscored, UnscoredReason


def most_likely(values: tuple[float, ...], letters: tuple[str, ...], targets: tuple[str, ...]) -> Mark:
    """Score 1 when the option with the highest log-likelihood is a target.

    >>> most_likely((-1.0, -0.5), ("A", "B"), ("B",)).value
    1.0
    """
    unscored = _unscored(values, letters)
    if unscored is not None:
        return unscored
    best = max(values)
    winners = [letter for letter, value in zip(letters, values, strict=True) if value == best]
    if len(winners) > 1:
        return Unscored(UnscoredReason.TIE, f"{' and '.join(winners)} are equally likely ({best:.6g})")
    return Score(float(winners[0] in targets), winners[0])


def most_likely_by_length(
    values: tuple[float, ...], lengths: Sequence[int], letters: tuple[str, ...], targets: tuple[str, ...]
) -> Mark:
    """Score 1 when a target has the highest log-likelihood a character: `acc_norm` of lm-evaluation-harness.

    >>> most_likely_by_length((-4.0, -3.0), (8, 3), ("A", "B"), ("A",)).value
    1.0
    """
    by_length = tuple(value / max(length, 1) for value, length in zip(values, lengths, strict=True))
    return most_likely(by_length, letters, targets)


def share_of_targets(values: tuple[float, ...], letters: tuple[str, ...], targets: tuple[str, ...]) -> Mark:
    """The probability of the targets among the options, each taken as a whole: MC2 of TruthfulQA, a graded score.

    >>> share_of_targets((-1.0, -1.0, -1.0), ("A", "B", "C"), ("A", "C")).value
    0.6666666666666666
    """
    unscored = _unscored(values, letters)
    if unscored is not None:
        return unscored
    best = max(values)
    if math.isinf(best):
        return Unscored(UnscoredReason.NOT_A_NUMBER, f"the likeliest option has log-likelihood {best}")
    weights = [math.exp(value - best) for value in values]
    right = sum(weight for letter, weight in zip(letters, weights, strict=True) if letter in targets)
    return Score(min(1.0, right / sum(weights)), letters[values.index(best)])


def _unscored(values: tuple[float, ...], letters: tuple[str, ...]) -> Unscored | None:
    if len(values) != len(letters):
        return Unscored(UnscoredReason.FAILED, f"{len(values)} log-likelihoods for {len(letters)} options")
    if any(math.isnan(value) for value in values):
        return Unscored(UnscoredReason.NOT_A_NUMBER, "a log-likelihood is NaN")
    return None
