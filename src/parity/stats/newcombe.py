"""Newcombe's interval of a paired difference: two Wilson intervals, squared and added with their correlation (MOVER).

Knows the paired 2x2 table, with the cell of items both got wrong. A second opinion beside Tango's interval, from other
assumptions; it decides nothing here.
"""

from __future__ import annotations

import math

from parity.stats.intervals import Interval, wilson
from parity.stats.paired import PairedCounts

NEWCOMBE = "Newcombe MOVER"


def newcombe_interval(counts: PairedCounts, confidence: float = 0.95) -> Interval:
    """Return Newcombe's method 10: hybrid score interval, correlation corrected for continuity; fractions in [-1, 1].

    Source: Newcombe 1998, Statistics in Medicine 17:2635-2650, section 2, method 10.

    Raises:
        ValueError: confidence outside (0, 1).
    """
    n = counts.n
    ours = (counts.both + counts.only_candidate) / n
    theirs = (counts.both + counts.only_incumbent) / n
    our_interval = wilson(counts.both + counts.only_candidate, n, confidence)
    their_interval = wilson(counts.both + counts.only_incumbent, n, confidence)
    phi = _correlation(counts)
    down = _added(ours - our_interval.low, their_interval.high - theirs, phi)
    up = _added(our_interval.high - ours, theirs - their_interval.low, phi)
    return Interval(counts.gap - down, counts.gap + up, confidence, NEWCOMBE)


def _added(one: float, other: float, phi: float) -> float:
    return math.sqrt(max(0.0, one**2 - 2 * phi * one * other + other**2))


def _correlation(counts: PairedCounts) -> float:
    """Phi of the table, shrunk towards zero by n / 2 where positive; 0 where a margin is empty."""
    a, b, c, d = counts.both, counts.only_candidate, counts.only_incumbent, counts.neither
    margins = (a + b) * (c + d) * (a + c) * (b + d)
    if margins == 0:
        return 0.0
    cross = a * d - b * c
    return (max(cross - counts.n / 2, 0.0) if cross > 0 else float(cross)) / math.sqrt(margins)
