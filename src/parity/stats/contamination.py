"""Did a model see the test? Two tests that a model which never saw it passes but for alpha of the time.

Knows log-likelihoods of one text in its published order and in shuffled ones, and scores of the same items with their
options as published and moved. Refuses to know models and texts. Neither test proves a model clean; they only catch.

Source: Oren et al. 2023, arXiv 2310.17623 (a set of items that no one trained on is exchangeable).
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np
from numpy.typing import ArrayLike

from parity.stats.bounded import Units, bounded_low, bounded_p_value
from parity.stats.distributions import student_cdf

LEAST_SHARDS, LEAST_ITEMS = 2, 30


@dataclass(frozen=True, slots=True)
class OrderTest:
    """Whether the published order is likelier than chance orders of the same items.

    `ahead`: mean log-likelihood of the published order less the mean of the shuffled ones, nats a shard. `p`: of the
    ranks, exact whatever the model; `p_t`: Oren's t test over shards, approximate. `first`: shards in which the
    published order was the likeliest of all.
    """

    shards: int
    orders: int
    ahead: float
    p: float
    p_t: float
    first: int


def order_test(published_S: ArrayLike, shuffled_SP: ArrayLike) -> OrderTest:
    """From log-likelihoods of S shards of items as published, shape (S,), and in P random orders each, shape (S, P).

    If orders mean nothing to the model, the published one's rank among the P + 1 is any of 0..P alike in every shard;
    p is the chance of so large a sum of ranks. A tie counts against the published order.

    Raises:
        ValueError: fewer than 2 shards, no orders, or a log-likelihood that is not finite.
    """
    published, shuffled = np.asarray(published_S, dtype=np.float64), np.asarray(shuffled_SP, dtype=np.float64)
    if published.ndim != 1 or len(published) < LEAST_SHARDS or shuffled.shape[:1] != published.shape:
        raise ValueError(f"shapes {published.shape} and {shuffled.shape}; at least {LEAST_SHARDS} shards, orders each")
    if not shuffled.size or not (np.isfinite(published).all() and np.isfinite(shuffled).all()):
        raise ValueError("log-likelihoods are finite, and there is at least one shuffled order")
    shards, orders = shuffled.shape
    rank_S = (shuffled < published[:, None]).sum(axis=1)
    ahead_S = published - shuffled.mean(axis=1)
    se = float(ahead_S.std(ddof=1)) / math.sqrt(shards)
    t = float(ahead_S.mean()) / se if se else math.copysign(math.inf, float(ahead_S.mean()))
    p_t = 1 - student_cdf(t, shards - 1) if math.isfinite(t) else float(t < 0)
    return OrderTest(
        shards, orders, float(ahead_S.mean()), _rank_p(int(rank_S.sum()), shards, orders), p_t,
        int((rank_S == orders).sum()),
    )  # fmt: skip


def _rank_p(total: int, shards: int, orders: int) -> float:
    """Chance that ranks of 0..orders, alike and independent, add up to `total` or more over the shards."""
    chance = np.ones(1)
    for _ in range(shards):
        chance = np.convolve(chance, np.full(orders + 1, 1 / (orders + 1)))
    return float(min(1.0, chance[total:].sum()))


@dataclass(frozen=True, slots=True)
class ShuffleTest:
    """Whether answers fall when options change places. `fall`: mean score as published less moved; `low` its bound.

    `p`: of H0 "no fall", one-sided; `low` is one-sided at `alpha`.
    """

    items: int
    published: float
    moved: float
    fall: float
    low: float
    p: float
    alpha: float


def shuffle_test(published_I: ArrayLike, moved_I: ArrayLike, alpha: float = 0.05) -> ShuffleTest:
    """From scores in [0, 1] of the same items as published and with options moved (a mean, where moved several times).

    Gaffke's bound of the mean fall (`bounded`). Right letters must be spread alike in both, or a liking for one letter
    looks like a fall.

    Raises:
        ValueError: fewer than 30 items, shapes that differ, or a score outside [0, 1].
    """
    published, moved = np.asarray(published_I, dtype=np.float64), np.asarray(moved_I, dtype=np.float64)
    if published.shape != moved.shape or published.ndim != 1 or len(published) < LEAST_ITEMS:
        raise ValueError(f"shapes {published.shape} and {moved.shape}; at least {LEAST_ITEMS} items, both ways each")
    if any(((each < 0) | (each > 1)).any() for each in (published, moved)):
        raise ValueError("a score lies outside [0, 1]")
    units = Units.of(published - moved)
    means = float(published.mean()), float(moved.mean())
    return ShuffleTest(units.n, *means, units.gap, bounded_low(units, alpha), bounded_p_value(units, 0.0), alpha)
