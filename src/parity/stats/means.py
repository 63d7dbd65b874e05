"""The interval of a mean of independent values in a known range, such as one share an item.

Knows Student's t, and what to say when all values are the same. Refuses to know what the values are.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from parity.stats.distributions import student_quantile
from parity.stats.intervals import Interval, check_confidence

STUDENT = "Student t over items"


def mean_interval(values_I: Sequence[float], confidence: float = 0.95, reach: float = 1.0) -> Interval:
    """Return the interval of the mean of independent values: mean +- t(n - 1) s / sqrt(n).

    Values that are all the same have no spread to go by. Then whatever was not seen may lie `reach` away, with as much
    mass as could have hidden from all n of them, 1 - tail^(1/n); for values 0 or 1 these are Clopper-Pearson's bounds.

    Raises:
        ValueError: no values, or confidence outside (0, 1).
    """
    check_confidence(confidence)
    values = np.asarray(values_I, dtype=np.float64)
    if not values.size:
        raise ValueError("no values")
    n, mean, tail = len(values), float(values.mean()), (1 - confidence) / 2
    if float(values.max() - values.min()) < 1e-12:
        half = reach * (1 - tail ** (1 / n))
    else:
        half = student_quantile(n - 1, 1 - tail) * float(values.std(ddof=1)) / math.sqrt(n)
    return Interval(mean - half, mean + half, confidence, STUDENT)
