"""Size against loss, a dot a type: for a terminal, and as SVG, where a dot's area is the speed of one answer.

Knows how dots are drawn; which of them no other beats is said by whoever measured them. Loss is on a log scale: it
doubles from one type to the next.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import floor, log10, sqrt
from xml.sax.saxutils import escape

from parity.reporting.charts import AHEAD, BEHIND, UNDECIDED
from parity.reporting.page import Figure

_COLUMNS, _LINES = 64, 14
_WIDTH, _HEIGHT, _LEFT, _RIGHT, _TOP, _BOTTOM = 760, 420, 74, 96, 84, 52
_LEAST = 1e-7  # what rounding alone leaves; a loss of nothing has no logarithm
_LARGEST_DOT = 13.0


@dataclass(frozen=True, slots=True)
class Dot:
    """One type: bytes, loss in nats, tokens a second; `claimed` None where nothing was to be shown."""

    label: str
    size_bytes: float
    loss: float
    speed: float
    front: bool
    claimed: bool | None = None

    @property
    def height(self) -> float:
        return log10(max(self.loss, _LEAST))

    @property
    def colour(self) -> str:
        return UNDECIDED if self.claimed is None else AHEAD if self.claimed else BEHIND


def pareto(dots: Sequence[Dot]) -> Figure:
    """Lines for a terminal: `*` where no other type is smaller and loses less, `o` elsewhere."""
    if not dots:
        return Figure(("Nothing was measured.",))
    (left, right), (low, high) = _reach([dot.size_bytes for dot in dots]), _reach([dot.height for dot in dots])
    grid = [[" "] * (_COLUMNS + 12) for _ in range(_LINES)]
    for dot in sorted(dots, key=lambda one: one.front):
        column = round((dot.size_bytes - left) / (right - left) * (_COLUMNS - 1))
        line = _LINES - 1 - round((dot.height - low) / (high - low) * (_LINES - 1))
        text = ("*" if dot.front else "o") + " " + dot.label
        line = _free(grid, line, slice(column, column + len(text)))
        grid[line][column : column + len(text)] = text
    labels = {0: f"{10**high:.1g}", _LINES - 1: f"{10**low:.1g}"}
    lines = [f"{labels.get(at, ''):>8} |{''.join(row).rstrip()}" for at, row in enumerate(grid)]
    ends = f"{left / 1e6:,.1f} MB{f'{right / 1e6:,.1f} MB':>{_COLUMNS - 8}}"
    return Figure(("loss, nats a token (log scale); * no type is smaller and loses less", *lines,
                   f"{'':>8} +{'-' * _COLUMNS}", f"{'':>10}{ends}"))  # fmt: skip


def _free(grid: list[list[str]], line: int, columns: slice) -> int:
    """The nearest line on which nothing stands in these columns, or `line` itself."""
    near = (at for at in (line, line - 1, line + 1, line - 2, line + 2) if 0 <= at < len(grid))
    return next((at for at in near if not "".join(grid[at][columns]).strip()), line)


def pareto_svg(title: str, note: str, dots: Sequence[Dot]) -> str:
    """The same as an SVG document, with the line of the types that no other beats."""
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{_HEIGHT}" '
        f'viewBox="0 0 {_WIDTH} {_HEIGHT}" font-family="Helvetica, Arial, sans-serif" font-size="11">',
        '<rect width="100%" height="100%" fill="#ffffff"/>',
        f'<text x="16" y="24" font-size="16" font-weight="bold">{escape(title)}</text>',
        f'<text x="16" y="43" fill="#555555">{escape(note)}</text>',
    ]
    if dots:
        parts += _drawn(dots)
    return "\n".join([*parts, *_legend(any(dot.claimed is not None for dot in dots)), "</svg>"]) + "\n"


def _drawn(dots: Sequence[Dot]) -> list[str]:
    (left, right), (low, high) = _reach([dot.size_bytes for dot in dots]), _reach([dot.height for dot in dots])
    fastest = max(dot.speed for dot in dots) or 1.0

    def x(size: float) -> float:
        return round(_LEFT + (size - left) / (right - left) * (_WIDTH - _LEFT - _RIGHT), 1)

    def y(height: float) -> float:
        return round(_HEIGHT - _BOTTOM - (height - low) / (high - low) * (_HEIGHT - _BOTTOM - _TOP), 1)

    parts = []
    for power in range(floor(low), floor(high) + 2):
        if low <= power <= high:
            parts.append(f'<line x1="{_LEFT}" y1="{y(power)}" x2="{_WIDTH - 20}" y2="{y(power)}" stroke="#e4e4e4"/>')
            parts.append(f'<text x="{_LEFT - 8}" y="{y(power) + 4}" text-anchor="end" fill="#555555">1e{power}</text>')
    for size in (left, (left + right) / 2, right):
        parts.append(f'<text x="{x(size)}" y="{_HEIGHT - _BOTTOM + 26}" text-anchor="middle" fill="#555555">'
                     f"{size / 1e6:,.1f} MB</text>")  # fmt: skip
    front = sorted((dot for dot in dots if dot.front), key=lambda dot: dot.size_bytes)
    line = " ".join(f"{x(dot.size_bytes)},{y(dot.height)}" for dot in front)
    parts.append(f'<polyline points="{line}" fill="none" stroke="#555555" stroke-dasharray="4 3"/>')
    spots = [(dot, x(dot.size_bytes), y(dot.height), _radius(dot, fastest)) for dot in dots]
    taken = [(at - radius, at + radius, up) for _, at, up, radius in spots]
    for dot, at, up, radius in spots:
        parts.append(f'<circle cx="{at}" cy="{up}" r="{radius}" fill="{dot.colour}" fill-opacity="0.75"/>')
        parts.append(_label(dot, at, up, radius, taken))
    return parts


def _radius(dot: Dot, fastest: float) -> float:
    return round(_LARGEST_DOT * sqrt(dot.speed / fastest), 1)


def _label(dot: Dot, at: float, up: float, radius: float, taken: list[tuple[float, float, float]]) -> str:
    """A dot's name and speed at its right, below or above, wherever nothing is written yet; `taken` grows by it."""
    width = 7.0 * len(dot.label) + 52
    beside = at + radius + 4
    places = [(beside, up + 4), (at - width / 2, up + radius + 13), (at - width / 2, up - radius - 5)]
    places += [(beside, up + 4 + 16 * step) for step in (1, -1, 2, -2, 3, -3)]
    left, line = next((place for place in places if not _crowded(place, width, (at, up), taken)), places[0])
    taken.append((left, left + width, line - 4))
    speed = f'<tspan fill="#555555" font-size="9">{dot.speed:,.0f} t/s</tspan>'
    return f'<text x="{round(left, 1)}" y="{round(line, 1)}">{escape(dot.label)} {speed}</text>'


def _crowded(
    place: tuple[float, float], width: float, own: tuple[float, float], taken: list[tuple[float, float, float]]
) -> bool:
    left, line = place
    return any(
        begin < left + width and left < end and abs(line - 4 - middle) < 15
        for begin, end, middle in taken
        if (begin + end) / 2 != own[0] or middle != own[1]
    )


def _legend(verdicts: bool) -> list[str]:
    words = (
        "loss: divergence from the unquantized file, nats a token (log); area: speed of one answer; dashed: none better"
    )
    parts = [f'<text x="16" y="{_HEIGHT - 6}" fill="#555555" font-size="10">{words}</text>']
    entries = ((0, AHEAD, "shown non-inferior"), (140, BEHIND, "not shown")) if verdicts else ()
    for offset, colour, text in entries:
        parts.append(f'<circle cx="{20 + offset}" cy="58" r="3.6" fill="{colour}"/>')
        parts.append(f'<text x="{29 + offset}" y="62" font-size="10">{text}</text>')
    return parts


def _reach(values: Sequence[float]) -> tuple[float, float]:
    """The ends of an axis, a little beyond the values."""
    low, high = min(values), max(values)
    room = (high - low) * 0.06 or abs(high) * 0.1 or 1.0
    return low - room, high + room
