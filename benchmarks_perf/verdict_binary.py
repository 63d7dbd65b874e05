"""Cells of verdict.py for differences that are right or wrong: one look, a look after every item.

The gap lies exactly at the margin (a null that is just true); flips from 2 to 40 %.
"""

import statistics
import time
from collections.abc import Callable, Iterator
from functools import cache

import numpy as np
from verdict_orders import drawn, items_needed, orders_of, population, rejections

from parity.stats.graded import bootstrap_t_interval
from parity.stats.noninferiority import evidence, paired_interval
from parity.stats.paired import PairedCounts
from parity.stats.sequential import anytime_bounds, exceeds

ALPHA, MARGIN, MMLU = 0.05, 0.02, 14_042
SIZES, FLIPS = (20, 50, 164, 500, 2_000, MMLU), (0.02, 0.06, 0.12, 0.2, 0.3, 0.4)
CELLS = [(size, flips) for size in SIZES for flips in FLIPS if flips * size >= 2]
# Numbers held at once: 10 million.
_AT_ONCE = 10_000_000


def margin_of(size: int, flips: float) -> float:
    """Half the flips, at most 5 points, and at least one item: a margin such a model can just miss."""
    return max(min(0.05, flips / 2), 1 / size)


def draws(size: int, flips: float, gap: float, count: int, seed: int) -> Iterator[PairedCounts]:
    """Paired counts of `count` samples of a source with exactly this gap."""
    chance = np.random.default_rng(seed)
    shares = [(flips + gap) / 2, (flips - gap) / 2, (1 - flips) / 2, (1 - flips) / 2]
    for ahead, behind, both, _ in chance.multinomial(size, shares, size=count):
        yield PairedCounts(size, int(both), int(ahead), int(behind))


@cache
def claims(size: int, ahead: int, behind: int, margin: float) -> bool:
    return evidence(PairedCounts(size, 0, ahead, behind), margin, ALPHA).non_inferior


def score_error(size: int, flips: float, count: int) -> float:
    """How often a candidate worse by exactly the margin is called non-inferior; below 30 items the verdict is exact."""
    margin = margin_of(size, flips)
    found = draws(size, flips, -margin, count, seed=size)
    return sum(claims(size, each.only_candidate, each.only_incumbent, margin) for each in found) / count


@cache
def interval(size: int, ahead: int, behind: int) -> tuple[float, float]:
    found = paired_interval(PairedCounts(size, 0, ahead, behind))
    return found.low, found.high


def interval_coverage(size: int, flips: float, count: int) -> float:
    """How often the 95 % interval holds the true gap."""
    gap = -margin_of(size, flips) / 2
    held = 0
    for each in draws(size, flips, gap, count, seed=size + 1):
        low, high = interval(size, each.only_candidate, each.only_incumbent)
        held += low <= gap <= high
    return held / count


def batches(count: int, size: int) -> Iterator[int]:
    """`count` orders in batches that fit the memory."""
    at_once = max(1, _AT_ONCE // size)
    for begin in range(0, count, at_once):
        yield min(at_once, count - begin)


def these_error(size: int, flips: float, count: int) -> float:
    """How often a population worse by exactly the margin is called non-inferior at any look."""
    base, chance = population(size, flips, -margin_of(size, flips)), np.random.default_rng(size)
    mean = float(base.mean())
    wrong = sum(
        int((rejections(orders_of(base, part, chance), mean, ALPHA, size) >= 0).sum()) for part in batches(count, size)
    )
    return wrong / count


def future_error(size: int, flips: float, count: int) -> float:
    """How often a source worse by exactly the margin is called non-inferior at any look at a sample of it."""
    margin, chance = margin_of(size, flips), np.random.default_rng(size + 2)
    wrong = sum(
        int((rejections(drawn(size, flips, -margin, part, chance), -margin, ALPHA) >= 0).sum())
        for part in batches(count, size)
    )
    return wrong / count


def these_items(size: int, flips: float, margin: float, count: int) -> float:
    """Mean items until NON_INFERIOR when there is no gap, of a population of this size."""
    base, chance = population(size, flips, 0.0), np.random.default_rng(round(1000 * flips))
    parts = [items_needed(orders_of(base, n, chance), -margin, ALPHA, size) for n in batches(count, size)]
    return float(np.concatenate(parts).mean())


def future_items(size: int, flips: float, margin: float, count: int) -> float:
    """Mean items until NON_INFERIOR when there is no gap, about the source of this many logged calls."""
    chance = np.random.default_rng(round(1000 * flips) + 1)
    parts = [items_needed(drawn(size, flips, 0.0, n, chance), -margin, ALPHA) for n in batches(count, size)]
    return float(np.concatenate(parts).mean())


def items_until_out(flips: float, gap: float, count: int) -> float:
    """Mean items until INFERIOR at 2 points for a model worse by `gap`, of MMLU's."""
    base, chance = population(MMLU, flips, -gap), np.random.default_rng(7)
    parts = [items_needed(-orders_of(base, n, chance), MARGIN, ALPHA, MMLU) for n in batches(count, MMLU)]
    return float(np.concatenate(parts).mean())


def median_s(repeats: int, do: Callable[[], object]) -> float:
    times = []
    for _ in range(repeats):
        begun = time.perf_counter()
        do()
        times.append(time.perf_counter() - begun)
    return statistics.median(times)


def speeds() -> dict[str, float]:
    """Seconds on one core: a full-length sequential verdict, 1,000 fixed ones, a bootstrap; all on 14,042 items."""
    chance = np.random.default_rng(0)
    differences = chance.permutation(population(MMLU, 0.12, 0.0))
    assert anytime_bounds(differences, differences, ALPHA, MMLU).low == differences.mean()
    pairs, graded = chance.random((1_000, 2, MMLU)) < 0.7, chance.uniform(-1, 1, MMLU)

    def sequential() -> None:
        exceeds(differences, 0.0, ALPHA, MMLU), exceeds(differences, -MARGIN, ALPHA, MMLU)
        exceeds(-differences, MARGIN, ALPHA, MMLU)

    def thousand() -> None:
        for ours, theirs in pairs:
            counts = PairedCounts.from_scores(ours, theirs)
            evidence(counts, MARGIN, ALPHA), paired_interval(counts)

    return {
        "sequential_verdict_ms": round(1000 * median_s(15, sequential), 1),
        "fixed_verdicts_1000_s": round(median_s(1, thousand), 2),
        "bootstrap_10000_s": round(median_s(3, lambda: bootstrap_t_interval(differences)), 2),
        "bootstrap_10000_graded_s": round(median_s(3, lambda: bootstrap_t_interval(graded)), 2),
    }
