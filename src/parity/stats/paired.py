"""Two models, the same items, right or wrong: the paired counts, McNemar's test and Tango's score interval.

Knows: the paired 2x2 table and what large-sample theory and the sign test say about it.
Refuses to know: margins and verdicts (`noninferiority`), and guarantees for few items (`exact`). Tango's
interval is a score interval: approximate, usually close to its level, sometimes a little under it.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike, NDArray

from parity.stats.distributions import binomial_cdf, normal_quantile
from parity.stats.intervals import Interval, check_confidence

FloatArray = NDArray[np.float64]

TANGO = "Tango score"
# The solver cuts a bracket at most 2 wide into SECTIONS parts, ROUNDS times: 32 ** -11 is below 1e-16.
SECTIONS, ROUNDS = 32, 11


@dataclass(frozen=True, slots=True)
class PairedCounts:
    """The paired 2x2 table of n items: both right, only the candidate, only the incumbent, neither.

    Raises:
        ValueError: n < 1, a negative or fractional count, or counts that add up to more than n.
    """

    n: int
    both: int
    only_candidate: int
    only_incumbent: int

    def __post_init__(self) -> None:
        for name in self.__slots__:
            count = getattr(self, name)
            if count != int(count) or count < 0:
                raise ValueError(f"{name} is {count}; counts are whole numbers from 0 up")
            # numpy integers overflow silently in later products; Python's do not.
            object.__setattr__(self, name, int(count))
        if self.n < 1:
            raise ValueError("no items; a paired comparison needs at least one that both models answered")
        if self.neither < 0:
            parts = f"{self.both} + {self.only_candidate} + {self.only_incumbent}"
            raise ValueError(f"{parts} items are more than n = {self.n}; count each item once")

    @property
    def neither(self) -> int:
        """Items that both models got wrong."""
        return self.n - self.both - self.only_candidate - self.only_incumbent

    @property
    def gap(self) -> float:
        """Candidate's accuracy minus the incumbent's, as a fraction in [-1, 1]."""
        return (self.only_candidate - self.only_incumbent) / self.n

    @property
    def flips(self) -> float:
        """Share of items on which exactly one of the two is right, as a fraction in [0, 1]."""
        return (self.only_candidate + self.only_incumbent) / self.n

    @property
    def variance(self) -> float:
        """Variance of the difference of one item."""
        return self.flips - self.gap**2

    @property
    def swapped(self) -> PairedCounts:
        """The same table with the two models' roles exchanged, so that gap changes its sign."""
        return PairedCounts(self.n, self.both, self.only_incumbent, self.only_candidate)

    @classmethod
    def from_scores(cls, candidate_I: ArrayLike, incumbent_I: ArrayLike) -> PairedCounts:
        """Count the table from two arrays of 0/1 scores, shape (I,) each, paired item by item.

        Raises:
            ValueError: shapes differ or are not one-dimensional, or a score (such as NaN) is neither 0 nor 1.
        """
        candidate, incumbent = np.asarray(candidate_I), np.asarray(incumbent_I)
        if candidate.ndim != 1 or candidate.shape != incumbent.shape:
            shapes = f"{candidate.shape} and {incumbent.shape}"
            raise ValueError(f"scores of shape {shapes}; give two flat arrays over the same items")
        if not (np.isin(candidate, (0, 1)).all() and np.isin(incumbent, (0, 1)).all()):
            raise ValueError("a score is neither 0 nor 1; drop unscored items, threshold graded ones")
        right, reference = candidate == 1, incumbent == 1
        return cls(
            n=int(candidate.size),
            both=int((right & reference).sum()),
            only_candidate=int((right & ~reference).sum()),
            only_incumbent=int((~right & reference).sum()),
        )


@dataclass(frozen=True, slots=True)
class McNemar:
    """Two-sided p-values that the two models are equally often right: exact conditional, and mid-p."""

    p: float
    mid_p: float


def mcnemar_exact(counts: PairedCounts) -> McNemar:
    """Return McNemar's exact conditional test and its mid-p version, both two-sided.

    Given the b + c flips, b ~ Binomial(b + c, 1/2) under equality. The mid-p version is less conservative; it
    carries no guarantee. Without flips there is no evidence and both are 1.

    Source: Fagerland, Lydersen, Laake 2013, BMC Med Res Methodol 13:91, exact conditional and mid-p tests
    (their supplement, eq. (1) and (2); for b = c the mid-p is 1 - P(X = b) / 2).
    """
    flips = counts.only_candidate + counts.only_incumbent
    fewer = min(counts.only_candidate, counts.only_incumbent)
    if flips == 0:
        return McNemar(p=1.0, mid_p=1.0)
    up_to, below = binomial_cdf(fewer, flips, 0.5), binomial_cdf(fewer - 1, flips, 0.5)
    if 2 * fewer == flips:
        return McNemar(p=1.0, mid_p=1 - (up_to - below) / 2)
    # 2 F(m) - P(X = m) is F(m) + F(m - 1): no point probability needed.
    return McNemar(p=min(1.0, 2 * up_to), mid_p=up_to + below)


def tango_scores(
    only_candidate_X: ArrayLike, only_incumbent_X: ArrayLike, n: int, difference_X: ArrayLike
) -> FloatArray:
    """Return Tango's score statistic of many tables or differences at once; inputs broadcast to shape (X,).

    T(d) = (b - c - n d) / sqrt(n (2 q + d (1 - d))), where q is the maximum-likelihood estimate of
    P(only the incumbent is right) under the null gap d: the larger root of A q^2 + B q - C = 0 with A = 2n,
    B = -b - c + (2n - b + c) d, C = c d (1 - d). It is in units of standard errors, positive where the
    observed gap is above d, and 0 where numerator and variance vanish together (then d fits perfectly).

    Source: Tango 1998, Statistics in Medicine 17:891-908, eq. (11) to (14).
    """
    d = np.asarray(difference_X, dtype=np.float64)
    b, c = np.asarray(only_candidate_X, dtype=np.float64), np.asarray(only_incumbent_X, dtype=np.float64)
    # For d < 0 the two models change roles, T(b, c, d) = -T(c, b, -d): every term under the roots is then
    # non-negative (no cancellation), and swapping the models mirrors the result to the last bit.
    sign, b, c, d = np.where(d < 0, -1.0, 1.0), np.where(d < 0, c, b), np.where(d < 0, b, c), np.abs(d)
    linear, constant = (2 * n - b + c) * d - b - c, c * d * (1 - d)
    root = np.sqrt(linear * linear + 8 * n * constant)
    with np.errstate(divide="ignore", invalid="ignore"):
        # Two forms of one root; each is used where its sum does not cancel.
        q = np.where(linear <= 0, (root - linear) / (4 * n), 2 * constant / (linear + root))
        numerator = b - c - n * d
        variance = n * (2 * q + d * (1 - d))
        score = np.where(numerator == 0, 0.0, numerator / np.sqrt(variance))
    return np.asarray(sign * score, dtype=np.float64)


def tango_statistic(counts: PairedCounts, difference: float) -> float:
    """Return Tango's score statistic of these counts at a null gap, in standard errors (see `tango_scores`).

    Raises:
        ValueError: difference outside [-1, 1].
    """
    if not -1 <= difference <= 1:
        raise ValueError(f"difference is {difference}; a gap between two accuracies is a fraction in [-1, 1]")
    return float(tango_scores(counts.only_candidate, counts.only_incumbent, counts.n, difference))


def tango_interval(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """Return Tango's score interval of the gap: all differences d with |T(d)| <= z, as fractions in [-1, 1].

    Defined for every table, also without flips (half-width z^2 / (n + z^2)) or when one model is right on
    every item and the other on none. Ends are solved to 1e-12 or better and rounded outwards.

    Source: Tango 1998, Statistics in Medicine 17:891-908, eq. (15).

    Raises:
        ValueError: confidence outside (0, 1).
    """
    check_confidence(confidence)
    z = normal_quantile(0.5 + confidence / 2)
    return Interval(-_tango_upper(counts.swapped, z), _tango_upper(counts, z), confidence, TANGO)


def _tango_upper(counts: PairedCounts, z: float) -> float:
    """Return the largest d with T(d) >= -z: T falls from 0 at the gap to minus infinity at 1."""
    inside, outside = counts.gap, 1.0
    if inside == outside:
        return 1.0
    for _ in range(ROUNDS):
        edge_X = np.linspace(inside, outside, SECTIONS + 1)
        kept_X = tango_scores(counts.only_candidate, counts.only_incumbent, counts.n, edge_X) >= -z
        last = max(int(kept_X[:-1].sum()) - 1, 0)
        inside, outside = float(edge_X[last]), float(edge_X[last + 1])
    return outside
