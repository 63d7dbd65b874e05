"""What a verdict promises, and whether it holds: error rates, coverage, items needed, real pairs. Last line: JSON.

Simulated with fixed seeds. A rate is reported as the lower 99 % bound of the worst cell (Wilson, one-sided); coverage
as the upper bound. Cells of right and wrong are in verdict_binary.py, all others in verdict_cells.py. The full form
takes ten minutes; with `--steps FOLDER` what was simulated is kept, and `--minutes` ends a call that the next goes on.
`--part` runs one part; what other parts would tell is left out of its JSON.
"""

import argparse
import json
import os
import sys
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import verdict_binary as binary
import verdict_cells
import verdict_real as real
from steps import OutOfTime, Steps

from parity.stats.intervals import wilson
from parity.stats.noninferiority import EXACT_BELOW

ROOT = Path(__file__).resolve().parents[1]
DEFAULT_DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
# What stands beside each figure: at most (<=) or at least (>=) so much.
GOALS: dict[str, tuple[str, float]] = {
    "type_i_exact_low": ("<=", 0.05),
    "type_i_score_low": ("<=", 0.056),
    "coverage_min_high": (">=", 0.93),
    "mean_items_margin02_flips06": ("<=", 1_150),
    "mean_items_margin02_flips12": ("<=", 1_900),
    "mean_items_margin02_flips30": ("<=", 3_800),
    "mean_items_2000_these_flips06": ("<=", 470),
    "mean_items_2000_these_flips12": ("<=", 680),
    "mean_items_2000_future_flips06": ("<=", 580),
    "mean_items_2000_future_flips12": ("<=", 980),
    "mean_items_out_10_points_flips30": ("<=", 400),
    "spared_by_predictor_flips06": (">=", 1.8),
    "spared_by_predictor_flips12": (">=", 2.9),
    "best_of_32_cost": ("<=", 0.15),
    "best_of_32_bias_points": ("<=", 0.1),
    "real_pairs_agree": (">=", 0.99),
    "real_pairs_agree_mmlu_pro": (">=", 0.99),
    "fixed_verdicts_1000_s": ("<=", 10),
    "sequential_verdict_ms": ("<=", 100),
    "bootstrap_10000_s": ("<=", 1),
    "bootstrap_10000_graded_s": ("<=", 1),
}
Result = Callable[[str, Callable[[], Any]], Any]
Found = dict[str, Any]


def main() -> int:
    parser = argparse.ArgumentParser(description="Simulate what verdicts promise, and check them on recorded pairs.")
    parser.add_argument("--quick", action="store_true", help="1,000 replications a cell instead of 10,000")
    parser.add_argument("--data", type=Path, default=DEFAULT_DATA, help="shared data; default: %(default)s")
    parser.add_argument("--part", choices=tuple(PARTS), help="one part only")
    parser.add_argument("--steps", type=Path, help="keep what was simulated in this folder, and go on from there")
    parser.add_argument("--minutes", type=float, help="begin no cell after so many minutes (with --steps)")
    arguments = parser.parse_args()
    count = 1_000 if arguments.quick else 10_000
    kept = Steps(arguments.steps, f"verdict {count}", arguments.minutes) if arguments.steps else None
    found: Found = {"replications": count}
    try:
        for name in [arguments.part] if arguments.part else PARTS:
            begun = time.perf_counter()
            merge(found, PARTS[name](count, arguments.data, kept.result if kept else lambda _, make: make()))
            print(f"{name}: {time.perf_counter() - begun:.0f} s", file=sys.stderr)
    except OutOfTime:
        print("Out of time; the same command goes on.", file=sys.stderr)
        return 1
    print_goals(found)
    print(json.dumps(found))
    return 0


def print_goals(found: Found) -> None:
    """Every figure beside what was to be reached."""
    for key, (sign, goal) in GOALS.items():
        if (value := found.get(key)) is not None:
            held = value <= goal if sign == "<=" else value >= goal
            print(f"{key:34} {value:>9,} {sign} {goal:>7,}  {'reached' if held else 'MISSED'}")


def merge(found: Found, more: Found) -> None:
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


def binary_part(count: int, _data: Path, result: Result) -> Found:
    """Right or wrong, one look."""
    exact = [cell for cell in binary.CELLS if cell[0] < EXACT_BELOW]
    score = [cell for cell in binary.CELLS if cell[0] >= EXACT_BELOW]

    def worst(cells: list[tuple[int, float]]) -> float:
        rates = [result(f"one look {n} {q}", lambda n=n, q=q: binary.score_error(n, q, count)) for n, q in cells]
        return round(max(lower(rate, count) for rate in rates), 4)

    coverage = [result(f"held {n} {q}", lambda n=n, q=q: binary.interval_coverage(n, q, count)) for n, q in score]
    return {
        "cells": len(binary.CELLS),
        "type_i_exact_low": worst(exact),
        "type_i_score_low": worst(score),
        "coverage_min_high": round(min(upper(rate, count) for rate in coverage), 4),
    }


def sequential_part(count: int, _data: Path, result: Result) -> Found:
    """Right or wrong, looked at after every item, about these items and about future ones; clusters as bets."""
    errors = {"these": binary.these_error, "future": binary.future_error}
    rates = {
        f"{name} {n} {q}": result(f"{name} {n} {q}", lambda n=n, q=q, error=error: error(n, q, count))
        for name, error in errors.items()
        for n, q in binary.CELLS
    }
    for clusters in (20, 164, 500):
        name = f"clustered bets {clusters}"
        rates[name] = result(name, lambda clusters=clusters: verdict_cells.clustered_bets(count, clusters))
    worst = max(rates, key=rates.__getitem__)
    return {
        "cells": len(rates),
        "type_i_exact_low": round(lower(rates[worst], count), 4),
        "worst_sequential_cell": f"{worst}: {rates[worst]:.4f}",
    }


def graded_part(count: int, _data: Path, result: Result) -> Found:
    """Graded, skewed, tied, clustered, judged differences, one look; with a predictor, at every item; judged rates."""
    rates, held = {}, {}
    for name, cell in verdict_cells.ONE_LOOK.items():
        wrong, covered = result(name, lambda cell=cell: cell(count))
        rates[name], held[name] = lower(wrong, count), upper(covered, count)
    predicted = [
        lower(result(name, lambda cell=cell: cell(count)), count) for name, cell in verdict_cells.PREDICTED.items()
    ]
    for labels, truth in ((100, 0.5), (200, 0.7), (400, 0.85)):
        step = f"judged rate {labels}"
        found = result(step, lambda m=labels, t=truth: verdict_cells.judged_coverage(m, t, count))
        held |= {f"{name} {labels}": upper(covered, count) for name, covered in found.items()}
    worst, least = max(rates, key=rates.__getitem__), min(held, key=held.__getitem__)
    return {
        "cells": len(held) + len(predicted),
        "type_i_exact_low": round(max(predicted), 4),
        "type_i_score_low": round(rates[worst], 4),
        "coverage_min_high": round(held[least], 4),
        "worst_graded_cell": worst,
        "least_covered_cell": least,
        "not_offered": result("not offered", lambda: verdict_cells.not_offered(min(count, 1_000))),
    }


def items_part(count: int, _data: Path, result: Result) -> Found:
    """Items to a verdict: alone, of logged calls, of a loser, with a predictor, and of picking the best of 32."""
    orders, found = count // 5, {}

    def mean(key: str, make: Callable[[], float]) -> float:
        return float(result(key, make))

    plain = {}
    for q in (0.06, 0.12, 0.3):
        key = f"mean_items_margin02_flips{100 * q:02.0f}"
        plain[q] = mean(key, lambda q=q: binary.these_items(binary.MMLU, q, 0.02, orders))
        found[key] = round(plain[q])
    for q in (0.06, 0.12):
        key = f"mean_items_2000_these_flips{100 * q:02.0f}"
        found[key] = round(mean(key, lambda q=q: binary.these_items(2_000, q, 0.03, count)))
        key = f"mean_items_2000_future_flips{100 * q:02.0f}"
        found[key] = round(mean(key, lambda q=q: binary.future_items(2_000, q, 0.03, count)))
        told = mean(f"predicted items {q}", lambda q=q: verdict_cells.predicted_items(q, orders))
        found[f"spared_by_predictor_flips{100 * q:02.0f}"] = round(plain[q] / told, 2)
    key = "mean_items_out_10_points_flips30"
    found[key] = round(mean(key, lambda: binary.items_until_out(0.3, 0.1, orders)))
    return found | result("best of 32", lambda: verdict_cells.best_of_32(min(orders, 300)))


def real_part(count: int, data: Path, result: Result) -> Found:
    """Recorded pairs: is the verdict the population's, how many items did it take, what do other models' runs spare?"""
    agree = result("real", lambda: real.real_pairs(data, count // 10))
    spared = result("real predicted", lambda: real.real_predicted(data, count // 250))
    return {"real_pairs_agree": None, **agree, **spared}


def speed_part(_count: int, _data: Path, _result: Result) -> Found:
    """Seconds, never kept."""
    return dict(binary.speeds())


PARTS: dict[str, Callable[[int, Path, Result], Found]] = {
    "binary": binary_part,
    "sequential": sequential_part,
    "graded": graded_part,
    "items": items_part,
    "real": real_part,
    "speed": speed_part,
}


def lower(rate: float, count: int) -> float:
    return wilson(round(rate * count), count, 0.98).low


def upper(rate: float, count: int) -> float:
    return wilson(round(rate * count), count, 0.98).high


if __name__ == "__main__":
    sys.exit(main())
