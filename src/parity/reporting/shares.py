"""The interval beside an accuracy: exact where items are right or wrong, over items where they have shares."""

from collections.abc import Sequence

from parity.stats.bounded import share_interval
from parity.stats.intervals import Interval, clopper_pearson

EXACT = "Clopper-Pearson"


def accuracy_interval(scores: Sequence[float], confidence: float = 0.95) -> Interval:
    """The interval of the mean of items' scores, within [0, 1]."""
    if all(score in (0, 1) for score in scores):
        return clopper_pearson(int(sum(scores)), len(scores), confidence)
    return share_interval(scores, confidence)
