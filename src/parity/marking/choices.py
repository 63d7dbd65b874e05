"""Marks a choice made by log-likelihood: the most likely option wins; ties and NaN are unscored."""

import math

from parity.core.scores import Mark, Score, Unscored, UnscoredReason


def most_likely(values: tuple[float, ...], letters: tuple[str, ...], targets: tuple[str, ...]) -> Mark:
    """Score 1 when the option with the highest log-likelihood is a target.

    >>> most_likely((-1.0, -0.5), ("A", "B"), ("B",)).value
    1.0
    """
    if len(values) != len(letters):
        return Unscored(UnscoredReason.FAILED, f"{len(values)} log-likelihoods for {len(letters)} options")
    if any(math.isnan(value) for value in values):
        return Unscored(UnscoredReason.NOT_A_NUMBER, "a log-likelihood is NaN")
    best = max(values)
    winners = [letter for letter, value in zip(letters, values, strict=True) if value == best]
    if len(winners) > 1:
        return Unscored(UnscoredReason.TIE, f"{' and '.join(winners)} are equally likely ({best:.6g})")
    return Score(float(winners[0] in targets), winners[0])
