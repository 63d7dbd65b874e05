"""A loss curve: lines of characters for a terminal, an SVG document for a page. Knows points, not trainings."""

from collections.abc import Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from parity.reporting.page import Figure

_COLUMNS, _LINES = 60, 12
_WIDTH, _HEIGHT, _LEFT, _BOTTOM, _TOP = 640, 320, 56, 40, 44
TRAIN_COLOUR, DEV_COLOUR = "#2166ac", "#b2182b"


@dataclass(frozen=True, slots=True)
class Series:
    """Points (x, y) by rising x, and what they are."""

    name: str
    points: tuple[tuple[float, float], ...]
    colour: str = TRAIN_COLOUR
    mark: str = "."


def drawn(series: Sequence[Series], x_name: str) -> Figure:
    """The curves in characters; of points that share a cell the mean is shown."""
    low, high = _reach(series)
    last = max(x for one in series for x, _ in one.points)
    first = min(x for one in series for x, _ in one.points)
    grid = [[" "] * _COLUMNS for _ in range(_LINES)]
    for one in series:
        cells: dict[int, list[float]] = {}
        for x, y in one.points:
            cells.setdefault(round((x - first) / max(last - first, 1e-9) * (_COLUMNS - 1)), []).append(y)
        for column, values in cells.items():
            share = (sum(values) / len(values) - low) / (high - low)
            grid[_LINES - 1 - round(share * (_LINES - 1))][column] = one.mark
    labels = {0: f"{high:.3g}", _LINES - 1: f"{low:.3g}"}
    lines = [f"{labels.get(at, ''):>8} |{''.join(row).rstrip()}" for at, row in enumerate(grid)]
    keys = "   ".join(f"{one.mark} {one.name}" for one in series)
    return Figure((*lines, f"{'':>8} +{'-' * _COLUMNS}", f"{'':>10}{x_name} {first:g} to {last:g}   {keys}"))


def curve_svg(title: str, series: Sequence[Series], x_name: str) -> str:
    """The same as an SVG document."""
    low, high = _reach(series)
    first = min(x for one in series for x, _ in one.points)
    last = max(x for one in series for x, _ in one.points)

    def place(x: float, y: float) -> str:
        across = _LEFT + (x - first) / max(last - first, 1e-9) * (_WIDTH - _LEFT - 16)
        down = _HEIGHT - _BOTTOM - (y - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP)
        return f"{across:.1f},{down:.1f}"

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="{_LEFT}" y="20" font-size="14" font-weight="bold">{escape(title)}</text>',
    ]
    for at in range(5):
        value = low + (high - low) * at / 4
        y = place(first, value).split(",")[1]
        parts.append(f'<line x1="{_LEFT}" y1="{y}" x2="{_WIDTH - 16}" y2="{y}" stroke="#e4e4e4"/>')
        parts.append(f'<text x="{_LEFT - 6}" y="{y}" text-anchor="end" fill="#555555">{value:.3g}</text>')
    for at, one in enumerate(series):
        path = " ".join(place(x, y) for x, y in one.points)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{one.colour}" stroke-width="1.6"/>')
        parts += [f'<circle cx="{p.split(",")[0]}" cy="{p.split(",")[1]}" r="2.4" fill="{one.colour}"/>'
                  for p in path.split(" ") if len(one.points) <= 20]  # fmt: skip
        parts.append(f'<text x="{_LEFT + 90 * at}" y="36" fill="{one.colour}">{escape(one.name)}</text>')
    parts.append(
        f'<text x="{_WIDTH - 16}" y="{_HEIGHT - 14}" text-anchor="end" fill="#555555">'
        f"{escape(x_name)} {first:g} to {last:g}</text>"
    )
    return "\n".join([*parts, "</svg>"]) + "\n"


def _reach(series: Sequence[Series]) -> tuple[float, float]:
    values = [y for one in series for _, y in one.points]
    low, high = min(values), max(values)
    return (low, high) if high > low else (low - 0.5, high + 0.5)
