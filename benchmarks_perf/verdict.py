"""What a verdict promises, and whether it holds: error rates, coverage, items needed, real pairs. Last line: JSON.

Simulated with fixed seeds: populations and sources with the gap exactly at the margin (a null that is just true), flips
from 2 to 40 %. A rate is reported as the lower 99 % bound of the worst cell (Wilson, one-sided); coverage as the upper
bound. Not here yet: clustered, graded and judged scores.
"""

import argparse
import itertools
import json
import math
import os
import statistics
import sys
import time
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from parity.files.tables import read_table
from parity.measurement.records import read_record
from parity.stats.intervals import wilson
from parity.stats.noninferiority import EXACT_BELOW, evidence, paired_interval
from parity.stats.paired import PairedCounts
from parity.stats.sequential import anytime_bounds, exceeds

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
ALPHA = 0.05
SIZES, FLIPS = (20, 50, 164, 500, 2_000, 14_042), (0.02, 0.06, 0.12, 0.2, 0.3, 0.4)
MARGIN, MMLU = 0.02, 14_042
Differences = NDArray[np.float64]


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate what verdicts promise, and check them on recorded pairs.")
    parser.add_argument("--quick", action="store_true", help="1,000 replications a cell instead of 10,000")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    arguments = parser.parse_args()
    count = 1_000 if arguments.quick else 10_000
    cells = [(size, flips) for size in SIZES for flips in FLIPS if flips * size >= 2]
    exact = [score_error(size, flips, count) for size, flips in cells if size < EXACT_BELOW]
    sequential = [sequential_error(size, flips, count) for size, flips in cells]
    score = [score_error(size, flips, count) for size, flips in cells if size >= EXACT_BELOW]
    coverage = [interval_coverage(size, flips, count) for size, flips in cells if size >= EXACT_BELOW]
    summary = {
        "replications": count,
        "cells": len(cells),
        "type_i_exact_low": round(max(lower(rate, count) for rate in (*exact, *sequential)), 4),
        "type_i_score_low": round(max(lower(rate, count) for rate in score), 4),
        "coverage_min_high": round(min(upper(rate, count) for rate in coverage), 4),
        **{f"mean_items_margin02_flips{100 * q:02.0f}": round(mean_items(q, count // 5)) for q in (0.06, 0.12, 0.3)},
        "real_pairs_agree": real_pairs(arguments.data, 100 if arguments.quick else 1_000),
        "sequential_verdict_ms": round(verdict_ms(), 1),
    }
    print(json.dumps(summary))
    return 0


def population(size: int, flips: float, gap: float) -> Differences:
    """Differences of `size` items with about that share of flips and a gap of at most `gap`, in whole items."""
    lost = math.ceil(-gap * size - 1e-9)
    flipped = max(round(flips * size), lost)
    ahead = (flipped - lost) // 2
    return np.repeat([1.0, -1.0, 0.0], [ahead, ahead + lost, size - 2 * ahead - lost])


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


def sequential_error(size: int, flips: float, count: int) -> float:
    """How often a population worse by exactly the margin is called non-inferior at any look."""
    margin = margin_of(size, flips)
    base, chance = population(size, flips, -margin), np.random.default_rng(size)
    return sum(exceeds(chance.permutation(base), base.mean(), ALPHA, size) for _ in range(count)) / count


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


def mean_items(flips: float, count: int) -> float:
    """Items until NON_INFERIOR at 2 points when there is no gap, of MMLU's 14,042; looked at after every one."""
    base, chance = population(MMLU, flips, 0.0), np.random.default_rng(round(1000 * flips))
    return statistics.fmean(first_rejection(chance.permutation(base), -MARGIN) for _ in range(count))


def first_rejection(differences: Differences, null: float) -> int:
    """The first item at which the null is rejected, by bisection: what was rejected once stays so."""
    standing, rejected = 0, len(differences)
    while rejected - standing > 1:
        middle = (standing + rejected) // 2
        if exceeds(differences[:middle], null, ALPHA, len(differences)):
            rejected = middle
        else:
            standing = middle
    return rejected


def real_pairs(data: Path, orders: int) -> float | None:
    """Share of random orders in which the sequential verdict lies on the population's side of a 3-point margin.

    All ordered pairs of the ten models that HELM recorded on MMLU, in turn.
    """
    table = data / "mmlu_per_item" / "helm_10models_predictions.csv.gz"
    if not table.exists():
        return None
    models = [name for name in read_table(table).columns if name not in ("subject", "row", "gold")]
    scores = {model: np.array([mark.mark.value for mark in read_record(f"{table}#{model}")]) for model in models}
    chance, agreed = np.random.default_rng(5), 0
    pairs = chance.permutation(list(itertools.permutations(models, 2)))
    for at in range(orders):
        ours, theirs = pairs[at % len(pairs)]
        agreed += side(chance.permutation(scores[ours] - scores[theirs])) == (
            (scores[ours] - scores[theirs]).mean() > -0.03
        )
    return agreed / orders


def side(differences: Differences) -> bool:
    """Whether the first claim that can be made is that the candidate is within 3 points."""
    return first_rejection(differences, -0.03) <= first_rejection(-differences, 0.03)


def verdict_ms() -> float:
    """A full-length sequential verdict: three claims about 14,042 differences. Median of 15."""
    differences = np.random.default_rng(0).permutation(population(MMLU, 0.12, 0.0))
    times = []
    for _ in range(15):
        begun = time.perf_counter()
        exceeds(differences, 0.0, ALPHA, MMLU), exceeds(differences, -MARGIN, ALPHA, MMLU)
        exceeds(-differences, MARGIN, ALPHA, MMLU)
        times.append(1000 * (time.perf_counter() - begun))
    assert anytime_bounds(differences, differences, ALPHA, MMLU).low == differences.mean()
    return statistics.median(times)


def lower(rate: float, count: int) -> float:
    return wilson(round(rate * count), count, 0.98).low


def upper(rate: float, count: int) -> float:
    return wilson(round(rate * count), count, 0.98).high


if __name__ == "__main__":
    sys.exit(main())
