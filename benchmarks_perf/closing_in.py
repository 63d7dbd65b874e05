"""Draws docs/images/closing-in.svg: the bounds of a real sequential verdict closing in on the margin, item by item.

Two models' answers to MMLU as HELM recorded them, in the order of one seed. Last line: JSON.
"""

import argparse
import json
import os
import sys
from pathlib import Path

import numpy as np

from parity.measurement.records import read_record
from parity.stats.sequential import anytime_bounds, first_rejection

ROOT = Path(__file__).resolve().parents[1]
DATA = Path(os.environ.get("PARITY_SHARED") or ROOT.parent / "shared" / "data")
MARGIN, ALPHA, WIDTH, HEIGHT, LEFT, BOTTOM, SPAN = 0.03, 0.05, 760, 340, 60, 36, 0.12


def main() -> int:
    parser = argparse.ArgumentParser(description="Draw how the bounds of a sequential verdict close in on the margin.")
    parser.add_argument("--quick", action="store_true", help="the same: it takes seconds")
    parser.add_argument("--candidate", help="column of the candidate")
    parser.add_argument("--incumbent", help="column of the incumbent")
    parser.add_argument("--out", type=Path, default=ROOT / "docs" / "images" / "closing-in.svg")
    arguments = parser.parse_args()
    table = DATA / "mmlu_per_item" / "helm_10models_predictions.csv.gz"
    ours, theirs = arguments.candidate or "meta_llama-3-70b", arguments.incumbent or "openai_gpt-4-1106-preview"
    scores = [np.array([mark.mark.value for mark in read_record(f"{table}#{name}")]) for name in (ours, theirs)]
    differences = np.random.default_rng(1).permutation(scores[0] - scores[1])
    population = len(differences)
    stop = first_rejection(differences, -MARGIN, ALPHA, population) or population
    sizes = np.unique(np.geomspace(20, min(population, 1.5 * stop), 60).astype(int))
    bounds = [anytime_bounds(differences[:size], differences[:size], ALPHA, population) for size in sizes]
    means = [float(differences[:size].mean()) for size in sizes]
    arguments.out.write_text(
        svg(sizes.tolist(), [(bound.low, bound.high) for bound in bounds], means, stop, (ours, theirs))
    )
    found = {"candidate": ours, "incumbent": theirs, "stopped_at": stop, "population": population}
    print(json.dumps({**found, "gap": round(float(differences.mean()), 4)}))
    return 0


def svg(
    sizes: list[int], bounds: list[tuple[float, float]], means: list[float], stop: int, names: tuple[str, str]
) -> str:
    def x(size: float) -> float:
        return LEFT + (WIDTH - LEFT - 12) * size / sizes[-1]

    def y(gap: float) -> float:
        middle = (HEIGHT - BOTTOM + 28) / 2
        return middle - max(-SPAN, min(SPAN, gap)) / SPAN * (HEIGHT - BOTTOM - 28) / 2

    upper = [f"{x(size):.1f},{y(high):.1f}" for size, (_, high) in zip(sizes, bounds, strict=True)]
    lower = [f"{x(size):.1f},{y(low):.1f}" for size, (low, _) in zip(sizes, bounds, strict=True)]
    line = " ".join(f"{x(size):.1f},{y(mean):.1f}" for size, mean in zip(sizes, means, strict=True))
    ticks = "".join(
        f'<text x="{LEFT - 8}" y="{y(gap) + 4:.1f}" text-anchor="end">{100 * gap:+.0f}</text>'
        f'<line x1="{LEFT}" x2="{WIDTH - 12}" y1="{y(gap):.1f}" y2="{y(gap):.1f}" stroke="#ddd"/>'
        for gap in (-0.1, -0.05, 0.0, 0.05, 0.1)
    )
    marks = "".join(
        f'<text x="{x(size):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{size:,.0f}</text>'
        for size in np.linspace(0, sizes[-1], 6)
    )
    margin, right = y(-MARGIN), WIDTH - 12
    frame = f'viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" font-size="12"'
    dashed, said = 'stroke="#c00" stroke-dasharray="6 4"', f"margin: {100 * MARGIN:.0f} points worse"
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" {frame}>\n'
        f'<rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>\n'
        f'<text x="{LEFT}" y="16">gap of {names[0]} to {names[1]}, points: mean so far and its bounds</text>\n'
        f"{ticks}{marks}\n"
        f'<text x="{right}" y="{HEIGHT - 4}" text-anchor="end">items asked</text>\n'
        f'<polygon points="{" ".join(upper + lower[::-1])}" fill="#9ecae1" fill-opacity="0.6"/>\n'
        f'<polyline points="{line}" fill="none" stroke="#08519c" stroke-width="1.5"/>\n'
        f'<line x1="{LEFT}" x2="{right}" y1="{margin:.1f}" y2="{margin:.1f}" {dashed}/>\n'
        f'<text x="{right - 2}" y="{margin + 14:.1f}" text-anchor="end" fill="#c00">{said}</text>\n'
        f'<line x1="{x(stop):.1f}" x2="{x(stop):.1f}" y1="28" y2="{HEIGHT - BOTTOM}" stroke="#555"/>\n'
        f'<text x="{x(stop) + 5:.1f}" y="40">verdict after {stop:,} items</text>\n</svg>\n'
    )


if __name__ == "__main__":
    sys.exit(main())
