"""The rule of the verdict: is the candidate worse than the incumbent by less than the margin?

Knows: margins, alpha, and which interval is read at which number of items. Refuses to know: words for people.
A verdict at one-sided alpha reads the ends of the 1 - 2 alpha interval (duality of test and interval).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np

from parity.stats.bounded import Units, bounded_interval, bounded_p_value
from parity.stats.distributions import normal_cdf
from parity.stats.exact import exact_interval, exact_p_value
from parity.stats.intervals import Interval, check_confidence
from parity.stats.paired import PairedCounts, tango_interval, tango_statistic
from parity.stats.sequential import unit_bounds, unit_evidence

# The score interval can miss its level a little with few items (worst found: .0557 for .05); below this, exact.
EXACT_BELOW = 30
BETTING = "betting"
# Right or wrong on independent items, or anything else: graded differences, clusters of items.
Sample: TypeAlias = PairedCounts | Units


@dataclass(frozen=True, slots=True)
class Evidence:
    """What the pairs show at a margin. `low`, `high`: one-sided bounds at alpha of candidate - incumbent, fractions."""

    margin: float
    alpha: float
    low: float
    high: float
    method: str

    @property
    def superior(self) -> bool:
        return self.low > 0

    @property
    def non_inferior(self) -> bool:
        return self.low > -self.margin

    @property
    def inferior(self) -> bool:
        return self.high < -self.margin

    @property
    def worse(self) -> bool:
        """Worse at all, by however little; a candidate can be worse and still non-inferior."""
        return self.high < 0


def paired_interval(sample: Sample, confidence: float = 0.95) -> Interval:
    """The interval of the gap, by the method that keeps its level on such a sample.

    Right or wrong: exact unconditional below 30 items, Tango's score interval from there on. Graded or clustered:
    bets below 30 independent units, Gaffke's bound from there on.
    """
    if isinstance(sample, PairedCounts):
        return exact_interval(sample, confidence) if sample.n < EXACT_BELOW else tango_interval(sample, confidence)
    if sample.count >= EXACT_BELOW:
        return bounded_interval(sample, confidence)
    check_confidence(confidence)
    bounds = unit_bounds(sample.total_U, sample.total_U, sample.size_U, (1 - confidence) / 2)
    return Interval(bounds.low, bounds.high, confidence, BETTING)


def p_value(sample: Sample, difference: float) -> float:
    """P-value of H0 gap <= `difference`, one-sided, by the method that `paired_interval` uses on such a sample.

    Raises:
        ValueError: difference outside [-1, 1].
    """
    if isinstance(sample, PairedCounts):
        if sample.n < EXACT_BELOW:
            return exact_p_value(sample, difference, "greater")
        return float(normal_cdf(np.array(-tango_statistic(sample, difference))))
    if sample.count >= EXACT_BELOW:
        return bounded_p_value(sample, difference)
    return math.exp(-unit_evidence(sample.total_U, sample.size_U, difference))


def evidence(sample: Sample, margin: float, alpha: float = 0.05) -> Evidence:
    """Test superiority, non-inferiority and inferiority at once, each one-sided at alpha.

    Source: Blackwelder 1982, Controlled Clinical Trials 3:345-353 (non-inferiority); the methods' in their files.

    Raises:
        ValueError: margin outside (0, 1) or alpha outside (0, 0.5).
    """
    if not 0 < margin < 1:
        raise ValueError(f"the margin is {margin}; it is the loss you tolerate as a fraction, 0.02 for 2 points")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is the one-sided chance of a false claim, such as 0.05")
    interval = paired_interval(sample, 1 - 2 * alpha)
    return Evidence(margin, alpha, interval.low, interval.high, interval.method)
