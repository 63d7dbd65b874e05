"""The rule of the verdict: is the candidate worse than the incumbent by less than the margin?

Knows: margins, alpha, and which interval is read at which number of items. Refuses to know: words for people.
A verdict at one-sided alpha reads the ends of the 1 - 2 alpha interval (duality of test and interval).
"""

from __future__ import annotations

from dataclasses import dataclass

from parity.stats.exact import exact_interval
from parity.stats.intervals import Interval
from parity.stats.paired import PairedCounts, tango_interval

# The score interval can miss its level a little with few items (worst found: .0557 for .05); below this, exact.
EXACT_BELOW = 30


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


def paired_interval(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """The interval of the gap: exact unconditional below 30 items, Tango's score interval from there on."""
    return exact_interval(counts, confidence) if counts.n < EXACT_BELOW else tango_interval(counts, confidence)


def evidence(counts: PairedCounts, margin: float, alpha: float = 0.05) -> Evidence:
    """Test superiority, non-inferiority and inferiority at once, each one-sided at alpha.

    Source: Tango 1998 (score test), Blackwelder 1982, Controlled Clinical Trials 3:345-353 (non-inferiority).

    Raises:
        ValueError: margin outside (0, 1) or alpha outside (0, 0.5).
    """
    if not 0 < margin < 1:
        raise ValueError(f"the margin is {margin}; it is the loss you tolerate as a fraction, 0.02 for 2 points")
    if not 0 < alpha < 0.5:
        raise ValueError(f"alpha is {alpha}; it is the one-sided chance of a false claim, such as 0.05")
    interval = paired_interval(counts, 1 - 2 * alpha)
    return Evidence(margin, alpha, interval.low, interval.high, interval.method)
