"""How many items a verdict takes: the arithmetic of planning, for a test that looks once.

Knows: flips, gap, margin, alpha, power. Refuses to know: sequential tests, costs.
"""

from __future__ import annotations

import math

from parity.stats.distributions import normal_quantile


def items_for_verdict(
    flips: float, gap: float, margin: float, alpha: float = 0.05, power: float = 0.8, population: int | None = None
) -> int | None:
    """Items, in all, after which a test shows NON_INFERIOR (gap > -margin) or INFERIOR (gap < -margin) with `power`.

    n = (z_alpha + z_power)^2 (flips - gap^2) / (margin + gap)^2; for a benchmark of `population` items
    n' = n / (1 + (n - 1) / population), never more than the population. None when the gap lies on the margin: then no
    number suffices. No flips seen is not no flips: flips are taken to be at least |gap| and above 0.

    Source: paired difference of proportions, Miller 2024 (arXiv 2411.00640) eq. 9, Cochran 1977 (finite population).

    Raises:
        ValueError: a share outside its range.
    """
    if not (0 <= flips <= 1 and -1 <= gap <= 1 and 0 < margin < 1 and 0 < alpha < 0.5 and 0 < power < 1):
        raise ValueError("flips, margin, alpha and power are fractions; the gap lies in [-1, 1]")
    return units_for_verdict(max(flips, abs(gap)) - gap**2, gap, margin, alpha, power, population)


def units_for_verdict(
    variance: float, gap: float, margin: float, alpha: float = 0.05, power: float = 0.8, population: int | None = None
) -> int | None:
    """As `items_for_verdict`, of independent units whose differences have this variance.

    Raises:
        ValueError: a negative variance.
    """
    if variance < 0:
        raise ValueError(f"a variance is not negative: {variance}")
    distance = abs(margin + gap)
    if distance < 1e-12:
        return None
    n = (normal_quantile(1 - alpha) + normal_quantile(power)) ** 2 * variance / distance**2
    if population is not None:
        n = min(n / (1 + (n - 1) / population), population)
    return max(1, math.ceil(n - 1e-9))
