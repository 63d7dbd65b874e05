"""What a verdict promises, and whether it holds: error rates, coverage, items needed, real pairs. Last line: JSON.

Simulated with fixed seeds: populations and sources with the gap exactly at the margin (a null that is just true), flips
from 2 to 40 %. A rate is reported as the lower 99 % bound of the worst cell (Wilson, one-sided); coverage as the upper
bound. Graded, skewed, tied, clustered and predicted differences are in verdict_cells.py. The full form takes long:
`--part` runs one part of it, and what other parts would tell is left out of its JSON.
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
from typing import Any

import numpy as np
import verdict_cells
from numpy.typing import NDArray

from parity.files.tables import read_table
from parity.measurement.records import read_record
from parity.stats.intervals import wilson
from parity.stats.noninferiority import EXACT_BELOW, evidence, paired_interval
from parity.stats.paired import PairedCounts
from parity.stats.sequential import anytime_bounds, exceeds, first_rejection

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
    parser.add_argument("--part", choices=("binary", "sequential", "graded", "items", "real"), help="one part only")
    arguments = parser.parse_args()
    count = 1_000 if arguments.quick else 10_000
    parts = {
        "binary": lambda: binary_part(count),
        "sequential": lambda: sequential_part(count),
        "graded": lambda: graded_part(count),
        "items": lambda: items_part(count // 5),
        "real": lambda: {"real_pairs_agree": real_pairs(arguments.data, 100 if arguments.quick else 1_000)},
    }
    found: dict[str, Any] = {"replications": count}
    for name in [arguments.part] if arguments.part else parts:
        begun = time.perf_counter()
        merge(found, parts[name]())
        print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    print(json.dumps(found))
    return 0


def merge(found: dict[str, Any], more: dict[str, Any]) -> None:
    """Cells add up, the worst error and the worst coverage stay, everything else is new."""
    for key, value in more.items():
        if key == "cells":
            found[key] = found.get(key, 0) + value
        elif key.startswith("type_i") and key in found:
            found[key] = max(found[key], value)
        elif key.startswith("coverage") and key in found:
            found[key] = min(found[key], value)
        else:
            found[key] = value


CELLS = [(size, flips) for size in SIZES for flips in FLIPS if flips * size >= 2]


def binary_part(count: int) -> dict[str, Any]:
    """Right or wrong, one look."""
    exact = [score_error(size, flips, count) for size, flips in CELLS if size < EXACT_BELOW]
    score = [score_error(size, flips, count) for size, flips in CELLS if size >= EXACT_BELOW]
    coverage = [interval_coverage(size, flips, count) for size, flips in CELLS if size >= EXACT_BELOW]
    return {
        "cells": len(CELLS),
        "type_i_exact_low": round(max(lower(rate, count) for rate in exact), 4),
        "type_i_score_low": round(max(lower(rate, count) for rate in score), 4),
        "coverage_min_high": round(min(upper(rate, count) for rate in coverage), 4),
    }


def sequential_part(count: int) -> dict[str, Any]:
    """Right or wrong, looked at after every item."""
    rates = [sequential_error(size, flips, count) for size, flips in CELLS]
    return {
        "type_i_exact_low": round(max(lower(rate, count) for rate in rates), 4),
        "sequential_verdict_ms": round(verdict_ms(), 1),
    }


def graded_part(count: int) -> dict[str, Any]:
    """Graded, skewed, tied, clustered, judged differences, one look; with a predictor, at every item."""
    rates, held = {}, []
    for name, cell in verdict_cells.ONE_LOOK.items():
        wrong, covered = cell(count)
        rates[name] = lower(wrong, count)
        held.append(upper(covered, count))
    predicted = [lower(cell(count), count) for cell in verdict_cells.PREDICTED.values()]
    worst = max(rates, key=rates.__getitem__)
    return {
        "cells": len(rates) + len(predicted),
        "type_i_exact_low": round(max(predicted), 4),
        "type_i_score_low": round(rates[worst], 4),
        "coverage_min_high": round(min(held), 4),
        "worst_graded_cell": worst,
        "not_offered": verdict_cells.not_offered(min(count, 1_000)),
    }


def items_part(count: int) -> dict[str, Any]:
    """Items to a verdict: alone, with a predictor, and of picking the best of 32."""
    plain = {flips: mean_items(flips, count) for flips in (0.06, 0.12, 0.3)}
    spared = {flips: plain[flips] / verdict_cells.predicted_items(flips, count) for flips in (0.06, 0.12)}
    return {
        **{f"mean_items_margin02_flips{100 * flips:02.0f}": round(items) for flips, items in plain.items()},
        **{f"spared_by_predictor_flips{100 * flips:02.0f}": round(ratio, 2) for flips, ratio in spared.items()},
        **verdict_cells.best_of_32(min(count, 300)),
    }


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
    return statistics.fmean(first_claim(chance.permutation(base), -MARGIN) for _ in range(count))


def first_claim(differences: Differences, null: float) -> int:
    """The first item at which the null is rejected; all of them if none."""
    found = first_rejection(differences, null, ALPHA, len(differences))
    return len(differences) if found is None else found


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
    return first_claim(differences, -0.03) <= first_claim(-differences, 0.03)


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
