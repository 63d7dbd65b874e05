"""How many items a verdict takes: the arithmetic of planning.

Knows: flips, gap, margin, alpha, power; what a test that may look after every item takes, by simulation. Refuses to
know: costs.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from parity.stats.distributions import normal_cdf, normal_quantile
from parity.stats.sequential import first_rejection


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


def power_at(items: int, variance: float, gap: float, margin: float, alpha: float = 0.05) -> float:
    """Probability that a test looking once after `items` shows that a gap above -margin is above it; a fraction.

    The inverse of `units_for_verdict` without a finite population.

    Raises:
        ValueError: no items or no variance.
    """
    if items < 1 or variance <= 0:
        raise ValueError(f"{items} items and a variance of {variance}")
    z = (margin + gap) * math.sqrt(items / variance) - normal_quantile(1 - alpha)
    return float(normal_cdf(np.array(z)))


def detectable(items: int, variance: float, alpha: float = 0.05, power: float = 0.8) -> float:
    """The smallest distance between gap and margin that `items` show with `power`; as a fraction, one look.

    At a true gap of 0 it is the smallest margin that can be had.

    Raises:
        ValueError: no items or a negative variance.
    """
    if items < 1 or variance < 0:
        raise ValueError(f"{items} items and a variance of {variance}")
    return (normal_quantile(1 - alpha) + normal_quantile(power)) * math.sqrt(variance / items)


@dataclass(frozen=True, slots=True)
class Looking:
    """Items a sequential test takes, over random orders: mean, 90 % quantile, and the share that had a verdict."""

    mean: float
    quantile_90: float
    decided: float


def sequential_items(
    flips: float, gap: float, margin: float, alpha: float, available: int, these: bool, orders: int = 100
) -> Looking:
    """Simulate verdicts of NON_INFERIOR looked for after every item, on `available` items; the same every time.

    `these`: about these items, drawn without replacement; else about a source they are a sample of. An order without a
    verdict counts with all items.
    """
    chance = np.random.default_rng(0)
    ahead, behind = round(available * (flips + gap) / 2), round(available * (flips - gap) / 2)
    base = np.repeat([1.0, -1.0, 0.0], [ahead, behind, available - ahead - behind])
    shares = [(flips - gap) / 2, 1 - flips, (flips + gap) / 2]
    needed = []
    for _ in range(orders):
        seen = chance.permutation(base) if these else chance.choice([-1.0, 0.0, 1.0], size=available, p=shares)
        needed.append(first_rejection(seen, -margin, alpha, available if these else None))
    items = np.array([available if size is None else size for size in needed], dtype=np.float64)
    decided = sum(size is not None for size in needed) / orders
    return Looking(float(items.mean()), float(np.quantile(items, 0.9)), decided)
