"""The interval beside an accuracy: exact where items are right or wrong, over items where they have shares."""

from collections.abc import Sequence

from parity.stats.intervals import Interval, clopper_pearson
from parity.stats.means import mean_interval

EXACT = "Clopper-Pearson"


def accuracy_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of the mean of items' scores, within [0, 1]."""
    if all(score in (0, 1) for score in scores):
        return clopper_pearson(int(sum(scores)), len(scores), confidence)
    found = mean_interval(scores, confidence)
    return Interval(max(0.0, found.low), min(1.0, found.high), confidence, found.method)
