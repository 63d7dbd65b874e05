"""Intervals for one proportion.

Knows: how sure a share of successes is, approximately (Wilson) and guaranteed (Clopper-Pearson).
Refuses to know: pairs. Two models on the same items belong in `paired`, where the pairing buys precision.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt

from parity.stats.distributions import beta_quantile, normal_quantile


@dataclass(frozen=True, slots=True)
class Interval:
    """A two-sided interval; low and high are fractions, confidence is its nominal level in (0, 1)."""

    low: float
    high: float
    confidence: float
    method: str


def wilson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the Wilson score interval of successes / n, as fractions in [0, 1].

    The set of p with |successes/n - p| <= z sqrt(p(1-p)/n). Approximate: coverage is near the nominal level
    on average, not at least it. With n = 0 nothing is known and the interval is (0, 1).

    Source: Wilson 1927, JASA 22:209-212; Brown, Cai, DasGupta 2001, Statistical Science 16:101-133, eq. (4).

    Raises:
        ValueError: successes outside 0..n, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    _check_successes(successes, n)
    if n == 0:
        return Interval(0.0, 1.0, confidence, "Wilson")
    z = normal_quantile(0.5 + confidence / 2)
    share = successes / n
    centre = (share + z * z / (2 * n)) / (1 + z * z / n)
    half = z / (1 + z * z / n) * sqrt(share * (1 - share) / n + z * z / (4 * n * n))
    # The ends are exactly 0 and 1 there; floating noise would leave the estimate outside its own interval.
    low = 0.0 if successes == 0 else centre - half
    high = 1.0 if successes == n else centre + half
    return Interval(low, high, confidence, "Wilson")


def clopper_pearson(successes: int, n: int, confidence: float = 0.95) -> Interval:
    """Return the Clopper-Pearson interval of successes / n, as fractions in [0, 1].

    Two one-sided binomial tests at (1 - confidence)/2 each, inverted: coverage is never below the nominal
    level. With n = 0 nothing is known and the interval is (0, 1).

    Source: Clopper and Pearson 1934, Biometrika 26:404-413; as Beta quantiles: Brown, Cai, DasGupta 2001,
    Statistical Science 16:101-133, section 4.2.1.

    Raises:
        ValueError: successes outside 0..n, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    _check_successes(successes, n)
    tail = (1 - confidence) / 2
    low = 0.0 if successes == 0 else beta_quantile(successes, n - successes + 1, tail)
    high = 1.0 if successes == n else beta_quantile(successes + 1, n - successes, 1 - tail)
    return Interval(low, high, confidence, "Clopper-Pearson")


def check_confidence(confidence: float) -> None:
    """Refuse a confidence outside (0, 1), per cent above all.

    Raises:
        ValueError: confidence is not a fraction strictly between 0 and 1.
    """
    if not 0 < confidence < 1:
        raise ValueError(f"confidence is {confidence}; give a fraction between 0 and 1, such as 0.95")


def _check_successes(successes: int, n: int) -> None:
    if n < 0 or not 0 <= successes <= n:
        raise ValueError(f"{successes} successes of {n} trials; need 0 <= successes <= n")
